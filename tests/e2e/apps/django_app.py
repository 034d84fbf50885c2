"""A Django project in one file: a `StreamingHttpResponse` that yields data and nothing else.

`wsgi` runs under gunicorn, `asgi` under uvicorn (where Django wants an async iterator).
"""

import asyncio
import time

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from reqlog import CHINESE, PAGE, RequestLog

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="for tests alone", USE_TZ=True)
django.setup()

log = RequestLog()


def events(request):
    every = float(request.GET.get("every", 1))
    count = int(request.GET.get("count", 1_000_000))
    entry = log.open(request.GET, request.headers)

    def text(number):
        return f"data: 第{number}条 {CHINESE}\n\n"

    def sync_events():
        try:
            for number in range(1, count + 1):
                yield text(number)
                time.sleep(every)
        finally:
            log.close(entry)

    async def async_events():
        try:
            for number in range(1, count + 1):
                yield text(number)
                await asyncio.sleep(every)
        finally:
            log.close(entry)

    chunks = async_events() if isinstance(request, ASGIRequest) else sync_events()
    return StreamingHttpResponse(chunks, content_type="text/event-stream")


urlpatterns = [
    path("events/", events),
    path("log", lambda request: JsonResponse(log.of(request.GET["key"]), safe=False)),
    path("page", lambda request: HttpResponse(PAGE)),
]

wsgi = get_wsgi_application()
asgi = get_asgi_application()
