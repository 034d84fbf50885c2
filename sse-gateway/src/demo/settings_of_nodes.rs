//! What the gateways of the demo run by that share streams, if there is a store.

use tower_sse::store::RedisStore;

use super::page::SETTINGS_OF_NODES;
use crate::config::setting::Setting;
use crate::config::value_store::{self, StoreSecret};
use crate::config::{Config, Error, File, GatewaySettings, Sources};

/// Takes the store out of what was given for the demo, whose first gateway has none, and gives the settings of those that have.
///
/// # Errors
///
/// When the store is none, or another setting is wrong.
pub(crate) fn take(sources: &mut Sources) -> Result<Option<Config>, Error> {
    let setting = Setting::store();
    let flag = sources.flags.take(&setting);
    let given = flag.or(sources.variables.take(&setting));
    let Some(given) = given.filter(|given| given.text != "off") else {
        return Ok(None);
    };
    let mut config = Config::resolve(&Sources {
        flags: sources.flags.clone(),
        variables: sources.variables.clone(),
        file: file()?,
        log_filter: sources.log_filter.clone(),
    })?;
    let url = value_store::url(&given.text).map_err(|why| Error::at(&given.place, why))?;
    let settings = &mut config.gateway;
    settings.store = Some(url);
    settings.store_secret.get_or_insert_with(random_secret);
    Ok(Some(config))
}

/// # Errors
///
/// When there is none that can be used; the error says how to start one.
pub(super) async fn check_store(settings: &GatewaySettings) -> Result<(), Error> {
    let (Some(url), Some(secret)) = (&settings.store, &settings.store_secret) else {
        return Ok(());
    };
    let connected = RedisStore::connect(&url.0, &secret.0).await;
    connected.map(drop).map_err(|error| {
        let cause = std::error::Error::source(&error);
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        let how = match error.is_away() {
            true => "; start one with `redis-server`, or `docker run --rm -p 6379:6379 redis:7`",
            false => "",
        };
        Error::at("--store", format_args!("{error}{cause}{how}"))
    })
}

fn file() -> Result<File, Error> {
    File::parse(&"demo/nodes.toml".into(), SETTINGS_OF_NODES)
}

/// The demo's gateways are all that know it.
fn random_secret() -> StoreSecret {
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).expect("the system gives random bytes");
    StoreSecret(secret)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_file_that_is_built_in_is_right() {
        super::file().expect("settings");
    }
}
