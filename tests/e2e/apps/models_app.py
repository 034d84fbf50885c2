"""Stand-ins for three language models, in the shapes that their APIs stream: OpenAI (chat completions and responses),
Anthropic (messages) and Gemini.

An answer is `WORDS`, one a delta. Requests are known by the field `x-key`. One whose key begins with `held` waits before the last
word until a POST to `/go?key=` tells it to go on. `/asked?key=` counts the requests, `/left?key=` those that were left early.
"""

import asyncio
import json
from collections import Counter, defaultdict

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

WORDS = ["Streams ", "are ", "easy ", "to ", "begin."]
LARGE = "A" * 3_000_000
# Long enough for a heartbeat in between, of a gateway that is told to be quick.
PAUSE = 0.1

asked, left = Counter(), Counter()
may_go = defaultdict(asyncio.Event)


def event(fields, name=None):
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(fields)}\n\n"


# ---- shapes: what is in front of the words, one word, and what is behind them


def chat(model):
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}

    def chunk(delta, finish=None):
        return event({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield [chunk({"role": "assistant", "content": ""})]
    yield lambda word: chunk({"content": word})
    usage = {"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6}
    yield [chunk({}, "stop"), event({**base, "choices": [], "usage": usage}), "data: [DONE]\n\n"]


def responses(model):
    numbers = iter(range(1000))

    def typed(kind, **fields):
        return event({"type": kind, "sequence_number": next(numbers), **fields}, kind)

    def response(status, output):
        usage = {
            "input_tokens": 1, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 6,
        }  # fmt: skip
        return {
            "id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": model, "output": output,
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None,
            "instructions": None, "metadata": {}, "temperature": 1.0, "top_p": 1.0, "usage": usage,
        }  # fmt: skip

    def message(status, content):
        return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content}

    def text(value):
        return {"type": "output_text", "text": value, "annotations": []}

    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    begin = [
        typed("response.created", response=response("in_progress", [])),
        typed("response.in_progress", response=response("in_progress", [])),
    ]
    if model == "painter":
        # An image comes in one event, larger than most.
        begin.append(
            typed("response.image_generation_call.partial_image", item_id="ig_1", output_index=0,
                  partial_image_index=0, partial_image_b64=LARGE)
        )  # fmt: skip
    begin += [
        typed("response.output_item.added", output_index=0, item=message("in_progress", [])),
        typed("response.content_part.added", **place, part=text("")),
    ]
    yield begin
    yield lambda word: typed("response.output_text.delta", **place, delta=word, logprobs=[])
    whole = "".join(WORDS)
    done = message("completed", [text(whole)])
    yield [
        typed("response.output_text.done", **place, text=whole, logprobs=[]),
        typed("response.content_part.done", **place, part=text(whole)),
        typed("response.output_item.done", output_index=0, item=done),
        typed("response.completed", response=response("completed", [done])),
    ]


def messages(model):
    def typed(kind, **fields):
        return event({"type": kind, **fields}, kind)

    empty = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    yield [
        typed("message_start", message=empty),
        typed("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        typed("ping"),
    ]
    yield lambda word: typed("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield [
        typed("content_block_stop", index=0),
        typed("message_delta", delta=end, usage={"output_tokens": 5}),
        typed("message_stop"),
    ]


def gemini(model):
    def chunk(text, **fields):
        content = {"parts": [{"text": text}], "role": "model"}
        return event({"candidates": [{"content": content, "index": 0, **fields}], "modelVersion": model})

    yield []
    yield chunk
    yield [chunk("", finishReason="STOP")]


# ---- answers


def api(shape):
    async def answer(request):
        fields = await request.json()
        key = request.headers.get("x-key", "")
        asked[key] += 1
        before, word, after = shape(fields.get("model", "gemini"))

        async def stream():
            whole = False
            try:
                for part in before:
                    yield part
                for at, one in enumerate(WORDS):
                    await asyncio.sleep(PAUSE)
                    if at == len(WORDS) - 1 and key.startswith("held"):
                        await may_go[key].wait()
                    yield word(one)
                await asyncio.sleep(PAUSE)
                for part in after:
                    yield part
                whole = True
            finally:
                left[key] += not whole

        return StreamingResponse(stream(), media_type="text/event-stream")

    return answer


async def go(request):
    may_go[request.query_params["key"]].set()
    return Response(status_code=204)


def counted(counter):
    async def count(request):
        return JSONResponse(counter[request.query_params["key"]])

    return count


app = Starlette(
    routes=[
        Route("/v1/chat/completions", api(chat), methods=["POST"]),
        Route("/v1/responses", api(responses), methods=["POST"]),
        Route("/v1/messages", api(messages), methods=["POST"]),
        Route("/{version}/models/{name}", api(gemini), methods=["POST"]),
        Route("/go", go, methods=["POST"]),
        Route("/asked", counted(asked)),
        Route("/left", counted(left)),
    ]
)
