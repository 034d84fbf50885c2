"""The SDKs of language models behind `--preset llm`: the same answer as directly, whole though its connection is cut."""

import importlib.util
from functools import cache

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import types
from harness import processes
from harness.said import Said
from harness.wait import until

WORDS = ["Streams ", "are ", "easy ", "to ", "begin."]
QUESTION = [{"role": "user", "content": "Are streams easy?"}]
# Some between any two words.
QUICK = ["--heartbeat", "20ms"]


@pytest.fixture(scope="module")
def models():
    with processes.uvicorn("models_app:app") as server:
        yield server


@cache
def example(name):
    spec = importlib.util.spec_from_file_location(name, processes.ROOT / "examples" / "clients" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- what is asked by each SDK of Python


def options(key, transport):
    client = {"http_client": transport and openai.DefaultHttpxClient(transport=transport)}
    return {"api_key": "k", "max_retries": 0, "default_headers": {"x-key": key}, **client}


def openai_chat(url, key, transport=None):
    client = openai.OpenAI(base_url=f"{url}/v1", **options(key, transport))
    for chunk in client.chat.completions.create(model="m", messages=QUESTION, stream=True):
        yield (chunk.choices and chunk.choices[0].delta.content) or ""


def openai_responses(url, key, transport=None, model="m"):
    client = openai.OpenAI(base_url=f"{url}/v1", **options(key, transport))
    for event in client.responses.create(model=model, input="q", stream=True):
        if event.type == "response.output_text.delta":
            yield event.delta
        if event.type == "response.image_generation_call.partial_image":
            yield f"{len(event.partial_image_b64)} "


def anthropic_messages(url, key, transport=None):
    client = anthropic.Anthropic(base_url=url, **options(key, transport))
    with client.messages.stream(model="m", max_tokens=9, messages=QUESTION) as stream:
        yield from stream.text_stream


def google_genai(url, key):
    http = types.HttpOptions(base_url=url, headers={"x-key": key})
    client = genai.Client(api_key="k", http_options=http)
    for chunk in client.models.generate_content_stream(model="m", contents="q"):
        yield chunk.text or ""


PYTHON = [openai_chat, openai_responses, anthropic_messages]
NODE = ["openai-chat", "openai-responses", "anthropic", "ai-chat", "ai-responses"]


def words(pieces):
    return [piece for piece in pieces if piece]


def asked(models, key):
    return httpx.get(f"{models.url}/asked", params={"key": key}).json()


def go(models, key):
    httpx.post(f"{models.url}/go", params={"key": key})


# ---- whole


@pytest.mark.parametrize("ask", PYTHON)
def test_python_is_given_the_same_among_heartbeats(models, gateway, key, ask):
    own = gateway(models, "--preset", "llm", *QUICK)
    assert words(ask(own.url, key)) == WORDS
    assert own.metric("sse_heartbeats_total") > 0


@pytest.mark.parametrize("sdk", NODE)
def test_node_is_given_the_same_among_heartbeats(models, gateway, key, started, sdk):
    own = gateway(models, "--preset", "llm", *QUICK)
    said = started(Said("models.mjs", sdk, own.url, key))
    assert said.to_end() == [*({"text": word} for word in WORDS), {"end": True}], said.process.log
    assert own.metric("sse_heartbeats_total") > 0


def test_an_image_of_megabytes_comes_in_one_event(models, gateway, key):
    own = gateway(models, "--preset", "llm", *QUICK)
    assert words(openai_responses(own.url, key, model="painter")) == ["3000000 ", *WORDS]


# ---- cut


@pytest.mark.parametrize("ask", PYTHON)
def test_python_goes_on_where_it_was_cut_and_the_model_is_asked_once(models, gateway, cutter, key, ask):
    key = f"held-{key}"
    cut = cutter(gateway(models, "--preset", "llm", *QUICK))
    pieces = []
    for piece in ask(cut.url, key, example("resuming_transport").ResumingTransport(delay=0.1)):
        pieces.append(piece)
        if piece == WORDS[-2]:
            assert cut.cut() == 1
            go(models, key)
    assert words(pieces) == WORDS
    assert asked(models, key) == 1


@pytest.mark.parametrize("sdk", NODE)
def test_node_goes_on_where_it_was_cut_and_the_model_is_asked_once(models, gateway, cutter, key, started, sdk):
    key = f"held-{key}"
    cut = cutter(gateway(models, "--preset", "llm", *QUICK))
    said = started(Said("models.mjs", sdk, cut.url, key, "resume"))
    said.until({"text": WORDS[-2]})
    assert cut.cut() == 1
    go(models, key)
    assert said.to_end() == [*({"text": word} for word in WORDS), {"end": True}], said.process.log
    assert asked(models, key) == 1


@pytest.mark.parametrize("ask", PYTHON)
def test_without_a_transport_that_comes_back_a_cut_is_an_error(models, gateway, cutter, key, ask):
    key = f"held-{key}"
    cut = cutter(gateway(models, "--preset", "llm", "--on-leave", "cancel"))
    pieces = []
    with pytest.raises(Exception, match="(?i)connection|peer|reset|incomplete"):
        for piece in ask(cut.url, key):
            pieces.append(piece)
            if piece == WORDS[-2]:
                cut.cut()
    assert words(pieces) == WORDS[:-1]
    left = lambda: httpx.get(f"{models.url}/left", params={"key": key}).json() == 1  # noqa: E731
    until(left, "the model to be told that nobody reads")


# ---- Gemini


def test_google_genai_takes_data_and_nothing_else(models, gateway, key):
    own = gateway(models, "--ids", "off", "--retry", "off", "--heartbeat", "off")
    assert words(google_genai(own.url, key)) == WORDS


@pytest.mark.parametrize(
    "flags",
    [("--heartbeat", "20ms"), ("--heartbeat-frame", "block", "--heartbeat", "20ms"), ("--retry", "1s"), ("--resume", "on")],
    ids=["comment", "block", "retry", "ids"],
)
def test_google_genai_takes_any_other_line_for_json(models, gateway, key, flags):
    """Once it does not, `docs/situations.md` may say so."""
    own = gateway(models, "--ids", "fill", "--retry", "off", *flags)
    with pytest.raises(genai.errors.UnknownApiResponseError):
        list(google_genai(own.url, key))
