//! Every setting there is, in the order of the help. [`settings`] says how to read a line, and what is made of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, StatusCode};
use tower_sse::relay::{AfterEnd, Key, OnFull, OnLeave, Secret, SlowClient, Start};
use tower_sse::store::{Acknowledge, WhenAway};

use super::listen::{self, ListenAddress};
use super::preset::{self, Preset};
use super::table::settings;
use super::trusted_proxies::TrustedProxies;
use super::upstreams::Upstreams;
use super::value::{self, list_or_off, number, or, size, switch, time};
use super::value_store::{StorePem, StoreSecret, StoreUrl};
use super::{
    AdminToken, Bound, CertificatePart, FieldLimit, GapEvent, HeartbeatFrame, IdleCounts, Ids,
    KeysAt, LogFormat, NoAnswer, Origins, ProxyProtocol, Rate, ServiceUrl, tls, upstream_tls,
    value_access, value_relay, value_store,
};

settings! {
    "Addresses" top {
        route upstream: Upstreams = none, "URL,…", Upstreams::parse, bare Lists,
            "Where requests go: http://host:port, https://host, h2c://host:port, unix:/path; or to several.";
        gateway listen: Vec<ListenAddress> = "127.0.0.1:8080", "ADDRESS|unix:PATH|systemd[:NAME],…", listen::addresses, bare Lists,
            "Where clients connect to: addresses with ports, Unix sockets, sockets of systemd.";
        gateway listen_mode: u32 = "0660", "MODE", listen::mode, needs UnixListener,
            "The permissions of these Unix sockets: who may write to one may connect.";
        gateway proxy_protocol: Option<ProxyProtocol> = "off", "off|on|v1|v2", value::proxy_protocol,
            "Take only connections that begin with a PROXY header, by trusted proxies: of v1, v2 or any.";
        gateway admin_listen: Option<SocketAddr> = "127.0.0.1:9078", "ADDRESS|off", or("off", value::address),
            "The address and port of metrics, health and drain; not for the public.";
        gateway admin_hosts: Vec<String> = "off", "NAMES|off", list_or_off(value::host_name), needs Admin,
            "The host names, in a comma list, by which the admin listener may be asked beside its addresses.";
        gateway ready_upstream: bool = "off", "on|off", switch, bare Booleans, needs Admin,
            "Let /readyz answer 503 also while an upstream of a route cannot be connected to.";
        gateway trusted_proxy: TrustedProxies = "off", "CIDR,…|off", value::trusted_proxy, bare Lists,
            "Whom to believe in X-Forwarded-For, -Proto, -Host and the like: networks, addresses, unix.";
    }

    "Encryption" [tls] {
        gateway tls_cert: Vec<PathBuf> = "off", "FILE,…|off", list_or_off(tls::cert_file), bare Lists,
            "Serve HTTPS with this certificate and its chain, or with several, by the name asked for.";
        gateway tls_key: Vec<PathBuf> = "off", "FILE,…|off", list_or_off(tls::key_file), bare Lists,
            "The private key of each certificate; files that change are read again.";
        gateway tls_client_ca: Option<PathBuf> = "off", "FILE|off", or("off", tls::ca_file), needs Tls,
            "Take only clients that show a certificate by one of these authorities.";
        gateway tls_client_fields: Vec<(HeaderName, CertificatePart)> = "off", "FIELD=PART,…|off",
            list_or_off(value_access::field_of_certificate), bare Lists, needs ClientCa,
            "Fields for the upstream with a part of it: cn, dns, uri, email, fingerprint.";
    }

    "Encryption" top {
        route upstream_ca: Option<PathBuf> = "off", "FILE|off", or("off", tls::ca_file), needs UpstreamTls,
            "Trust these authorities or certificates of an https upstream, in place of the platform's.";
        route upstream_cert: Option<PathBuf> = "off", "FILE|off", or("off", tls::cert_file), needs UpstreamTls,
            "The certificate and its chain that an https upstream is shown.";
        route upstream_key: Option<PathBuf> = "off", "FILE|off", or("off", tls::key_file), needs UpstreamTls,
            "The private key of that.";
        route upstream_name: Option<String> = "off", "NAME|off", or("off", upstream_tls::name), needs UpstreamTls,
            "The name that an https upstream's certificate is for, where that is not its host.";
        route upstream_insecure: bool = "off", "on|off", switch, bare Booleans, needs UpstreamTls,
            "Take any certificate of an https upstream: whoever is in between can read and change all.";
    }

    "Who may read" top {
        gateway admin_token: Option<AdminToken> = "off", "FILE|off", or("off", value_access::admin_token), needs Admin,
            "A file with the bearer token for /drain, /reload and /streams; off: changes from here alone.";
        route token_param: Option<String> = "off", "NAME|off", or("off", value_access::name),
            "A parameter of the query whose value goes upstream as Authorization: Bearer instead.";
        route token_cookie: Option<String> = "off", "NAME|off", or("off", value_access::name),
            "A cookie whose value goes upstream as Authorization: Bearer instead.";
        route cors_origins: Option<Origins> = "off", "ORIGIN,…|*|off", or("off", value_access::origins), bare Lists,
            "Let pages of these origins read, with credentials unless * stands for all; others may not.";
    }

    "Who may read" [jwt] {
        route jwt_keys: Option<KeysAt> = "off", "FILE|URL|off", or("off", value_access::keys_at),
            "Take only requests with a bearer token (JWT) by a key found here: PEM, a key set, a secret.";
        route jwt_issuer: Option<String> = "off", "TEXT|off", or("off", value_access::text), needs Jwt,
            "Who has to have issued the token (iss).";
        route jwt_audience: Vec<String> = "off", "TEXT,…|off", list_or_off(value_access::text), bare Lists, needs Jwt,
            "For whom the token has to be (aud): one of these.";
        route jwt_claims: Vec<(String, String)> = "off", "CLAIM=VALUE,…|off", list_or_off(value_access::claim), bare Lists,
            needs Jwt,
            "What else it has to say; of a list, and of the words of scope, one.";
        route jwt_fields: Vec<(HeaderName, String)> = "off", "FIELD=CLAIM,…|off", list_or_off(value_access::field_of_claim),
            bare Lists, needs Jwt,
            "Fields that go upstream with what it says; a client's own are taken out.";
        route jwt_leeway: Duration = "30s", "TIME", time, needs Jwt,
            "How far clocks may be apart; the stream ends so long after the token's end (exp).";
    }

    "Who may read" [forward_auth] {
        route forward_auth_url: Option<ServiceUrl> = "off", "URL|off", or("off", ServiceUrl::parse),
            "Ask this service whether a request may pass: 2xx lets it in, what else it says is the answer.";
        route forward_auth_fields: Vec<HeaderName> = "off", "FIELD,…|off", list_or_off(value_access::own_field), bare Lists,
            needs ForwardAuth,
            "Fields of its answer that go upstream; a client's own are taken out.";
        route forward_auth_asks: Vec<HeaderName> = "off", "FIELD,…|off", list_or_off(value_access::own_field), bare Lists,
            needs ForwardAuth,
            "Fields of a request that it is sent beside Authorization, Cookie, Origin and X-Forwarded-*.";
        route forward_auth_cache: Option<Duration> = "off", "TIME|off", or("off", time), needs ForwardAuth,
            "How long it need not be asked again by who was let in and asks for the same.";
        route forward_auth_timeout: Duration = "5s", "TIME", time, needs ForwardAuth,
            "How long it may take; then nobody is let in.";
    }

    "Streams" top {
        route preset: Option<Preset> = "off", "browser|llm|mcp|off", preset::preset,
            "Set for the clients of a route what is not set otherwise; the page of settings says what.";
        route heartbeat: Option<Duration> = "15s", "TIME|off", or("off", time),
            "Write a heartbeat when nothing was sent to the client for this long.";
        route heartbeat_frame: HeartbeatFrame = "line", "line|block|event:NAME", value::heartbeat_frame,
            needs Heartbeat,
            "What a heartbeat is: a comment line, a comment and a blank line, or an event of that type.";
        route opening_comment: bool = "off", "on|off", switch, bare Booleans, needs Heartbeat,
            "Write a comment as soon as a stream opens, so that hops between let its head go.";
        route ids: Ids = "fill", "fill|replace|keep|off", value::ids, needs IdsOfItsOwn,
            "Give ids to events of GETs that have none, to all, or trust a shared upstream's (keep).";
        route retry: Option<Duration> = "3s", "TIME|off", or("off", time),
            "The reconnection time that clients are told in front of the first event with data.";
        route retry_jitter: f64 = "0.5", "SHARE", value::jitter, bare Numbers, needs Retry,
            "How much of the reconnection time is random, from 0 to 1, to spread reconnections.";
        route pause_event: Option<String> = "off", "NAME|off", or("off", value::event_type),
            "End streams with an event of this type; its data is when to reconnect, Unix time in ms.";
        route max_event_bytes: usize = "1MiB", "SIZE", size, bare Numbers,
            "The largest event that is looked at; a larger one passes through as it is.";
        route compress: bool = "off", "on|off", switch, bare Booleans,
            "Send event streams as gzip to clients that accept it, flushed at each event.";
    }

    "Sharing and resuming" top {
        route share: Option<Key> = "off", "off|on|KEY", value_relay::share, bare Booleans,
            "Give GET requests with one key one upstream stream; on: host, path, query, fields.";
        route ignore: Vec<HeaderName> = "off", "NAMES|off", list_or_off(value_relay::field_name), bare Lists,
            needs Sharing,
            "Request fields that are neutral to a shared stream, beside those that always are.";
        route share_private: bool = "off", "on|off", switch, bare Booleans, needs Sharing,
            "Share also what the upstream says not to, by Vary and Cache-Control: private.";
        route resume: Option<Bound> = "off", "on|off|PART,…", value_relay::resume, bare Booleans,
            "Let a client go on with its own stream when it comes back with its last event id.";
        gateway secret_file: Option<Secret> = "off", "FILE|off", or("off", value_relay::secret_file), needs AnyRelay,
            "A file with 32 random bytes or more: ids are known again after a restart.";
        gateway store: Option<StoreUrl> = "off", "URL|file:FILE|off", or("off", value_store::url), needs AnyRelay,
            "A Redis server by which several gateways share streams; file: where the URL has a password.";
        gateway store_secret: Option<StoreSecret> = "off", "FILE|off", or("off", value_store::secret), needs Store,
            "A file with 32 random bytes or more, the same for all gateways that share streams.";
        gateway store_ca: Option<StorePem> = "off", "FILE|off", or("off", value_store::ca), needs StoreTls,
            "Whose certificates a store with rediss:// may show; off: those that the system trusts.";
        gateway store_cert: Option<StorePem> = "off", "FILE|off", or("off", value_store::cert), needs StoreTls,
            "The certificate, and its chain, that the gateway shows to the store.";
        gateway store_key: Option<StorePem> = "off", "FILE|off", or("off", value_store::key), needs StoreTls,
            "The private key of that certificate.";
        gateway store_prefix: String = "sse", "NAME", value_store::prefix, needs Store,
            "What the names of all keys and channels in the store begin with.";
        gateway store_seal: bool = "off", "on|off", switch, bare Booleans, needs Store,
            "Seal what is stored of events: who has the server reads none, and makes none.";
        gateway store_ack: Acknowledge = "primary", "primary|replica|disk", value_store::ack, needs Store,
            "Who has an event before clients are given it; beside the primary, for at most 100 ms.";
        gateway store_down: WhenAway = "wait", "wait|local", value_store::down, needs Store,
            "A stream that begins while the store is away waits for it, or is this gateway's own.";
        route max_relays: usize = "10000", "NUMBER", number("streams", 2000), bare Numbers, needs Relay,
            "How many streams of a route are shared or resumable at a time; others pass.";
        route max_idle_relays: usize = "2000", "NUMBER", number("streams", 2000), bare Numbers, needs Relay,
            "How many of these may be without a client; then the oldest ends.";
        route max_idle_relays_per_client: usize = "200", "NUMBER", number("streams", 2000), bare Numbers, needs Relay,
            "How many of these one client address (IPv6: one /64) may leave behind.";
        route history_events: Option<usize> = "auto", "NUMBER|auto", or("auto", value_relay::events), bare Numbers,
            needs Relay,
            "How many events of a stream are kept; auto: 1000 if shared, any number if resumable.";
        route history_bytes: Option<usize> = "auto", "SIZE|auto", or("auto", size), bare Numbers, needs Relay,
            "How many bytes of a stream are kept, with overhead; auto: 1MiB if shared, 4MiB if resumable.";
        route history_age: Duration = "5m", "TIME", time, needs Relay,
            "How long an event is kept.";
        gateway history_budget: usize = "256MiB", "SIZE", value::budget, bare Numbers, needs AnyRelay,
            "How many bytes all streams keep together; the largest gives way first.";
        route start: Start = "live", "live|all|last:N", value_relay::start, needs Sharing,
            "What a client without a last event id gets: what comes, all that is kept, or N events.";
        route gap_event: GapEvent = "auto", "auto|NAME|off", value_relay::gap_event, needs Relay,
            "Tell of missed events by one of this type; auto: stream-gap, or for a POST by a cut.";
        route gap_data: String = "{missed}", "TEXT", value_relay::one_line,
            "The data of that event; {missed} in it is the number of missed events, or null.";
        route slow_client: SlowClient = "disconnect", "disconnect|skip|latest", value_relay::slow_client, needs Relay,
            "What a client gets that fell behind what is kept: its end, the oldest, or the newest.";
        route client_stall_timeout: Duration = "30s", "TIME", time,
            "How long the upstream is held for a client that has stopped reading.";
        route on_full: Option<OnFull> = "auto", "auto|wait|drop", value_relay::on_full,
            "With a full history and no client: hold the upstream, or drop; auto: wait if resumable.";
        route on_leave: OnLeave = "linger:10s", "cancel|linger:TIME|finish", value_relay::on_leave, needs Relay,
            "What an upstream stream without clients does: end at once, later, or by itself.";
    }

    "No answer from upstream" top {
        route no_answer: NoAnswer = "close", "close|answer|hold", value::no_answer,
            "What a GET for an event stream gets then: none, so that it is retried; 502; a stream.";
        route retry_statuses: Vec<StatusCode> = "off", "STATUS,…|off", list_or_off(value::status), bare Lists,
            "Statuses of the upstream that count as no answer, such as 502,503,504.";
        route hold: bool = "off", "on|off", switch, bare Booleans,
            "Open event streams at once and hide the upstream's failures from the first on.";
        route open_after: Option<Duration> = "off", "TIME|off", or("off", time),
            "Do the same when the head of the upstream's response has not come after this long.";
        route give_up: Duration = "5m", "TIME", time,
            "How long a lost upstream is tried again, and one held whose client is away.";
    }

    "Sharing and resuming" top {
        route after_end: AfterEnd = "again", "again|204", value_relay::after_end, bare Numbers,
            "What a client gets that comes back for a GET it had whole: the upstream's answer or 204.";
        route keep_finished: Duration = "60s", "TIME", time, needs Relay,
            "How long a stream that has finished can be replayed.";
    }

    "Timeouts" top {
        route idle_timeout: Option<Duration> = "15m", "TIME|off", or("off", time),
            "End a stream whose upstream has been silent for this long.";
        route idle_counts: IdleCounts = "bytes", "bytes|events", value::idle_counts, needs IdleTimeout,
            "What ends that silence: any bytes, also comments, or only events with data.";
        route lifetime: Option<Duration> = "off", "TIME|off", or("off", time),
            "End a stream that has been open for this long, give or take a tenth.";
        gateway client_gone_timeout: Duration = "60s", "TIME", time,
            "How long a client may acknowledge nothing before its connection is closed.";
        gateway connect_timeout: Duration = "5s", "TIME", time,
            "How long a connection to the upstream may take to be made.";
        route head_timeout: Duration = "60s", "TIME", time,
            "How long the upstream may take to the head of its response.";
    }

    "Drain" top {
        gateway drain_window: Duration = "10s", "TIME", time,
            "The time over which open streams are ended when the gateway stops.";
        gateway drain_deadline: Duration = "30s", "TIME", time,
            "When the gateway stops, all that is still open after this long is closed.";
    }

    "Limits" top {
        gateway max_streams: Option<usize> = "off", "NUMBER|off", or("off", number("streams", 20_000)), bare Numbers,
            "How many event streams may be open at a time; who comes then is told to come later.";
        route max_streams_per_route: Option<usize> = "off", "NUMBER|off", or("off", number("streams", 2000)), bare Numbers,
            "How many of these one route may have.";
        gateway max_streams_per_client: Option<usize> = "off", "NUMBER|off", or("off", number("streams", 100)), bare Numbers,
            "How many of these one client address (IPv6: one /64) may have.";
        route max_streams_per_field: Option<FieldLimit> = "off", "FIELD=NUMBER|off", or("off", value::field_limit),
            "How many of these those may have who have the same in this field, such as one of jwt_fields.";
        gateway max_rate_per_client: Option<Rate> = "off", "NUMBER/s|m|h|off", or("off", value::rate),
            "How many requests of any kind one may make in a second, minute or hour; all of them at once.";
        gateway max_connection_rate_per_client: Option<Rate> = "off", "NUMBER/s|m|h|off", or("off", value::rate),
            "How many connections one may open in that time; one more is closed before its handshake.";
    }

    "Configuration" top {
        gateway threads: Option<usize> = "auto", "NUMBER|auto", or("auto", value::threads), bare Numbers,
            "How many threads serve clients; auto: one for each core.";
        gateway log_format: LogFormat = "text", "text|json", value::log_format,
            "How log lines are written: for people or for machines.";
        gateway access_log: bool = "off", "on|off", switch, bare Booleans,
            "Log each request that is answered by something else than an event stream, too.";
        gateway otel: bool = "off", "on|off", switch, bare Booleans,
            "Export a span of each request by OpenTelemetry, to where its own variables say (OTEL_*).";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_values_and_names_are_unique_and_begin_with_their_table() {
        for (at, setting) in ALL.all.iter().enumerate() {
            let name = setting.name;
            let default = setting.default.map_or(Ok(()), setting.check);
            assert_eq!(default, Ok(()), "{name}");
            let mut before = ALL.all[..at].iter();
            assert!(before.all(|other| other.name != name), "{name}");
            assert_eq!(setting.path().replace('.', "_"), name.to_ascii_lowercase());
        }
    }
}
