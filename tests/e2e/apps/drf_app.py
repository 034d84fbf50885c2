"""Django REST framework in one file: content negotiation that knows `text/event-stream`, and a token in the query.

The framework answers 406 to `Accept: text/event-stream` unless a renderer has that media type, so there is one.
"""

import json
import time

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from reqlog import CHINESE, PAGE, RequestLog, resume_from

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["rest_framework"],
    REST_FRAMEWORK={"UNAUTHENTICATED_USER": None, "UNAUTHENTICATED_TOKEN": None},
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests alone",
    USE_TZ=True,
)
django.setup()

from rest_framework.authentication import BaseAuthentication  # noqa: E402  (needs the settings)
from rest_framework.exceptions import AuthenticationFailed  # noqa: E402
from rest_framework.permissions import BasePermission  # noqa: E402
from rest_framework.renderers import BaseRenderer, JSONRenderer  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

log = RequestLog()


class QueryToken(BaseAuthentication):
    """`EventSource` cannot send `Authorization`, so the token is in the query."""

    def authenticate(self, request):
        token = request.query_params.get("token")
        if token is None:
            return None
        if not token.startswith("good-"):
            raise AuthenticationFailed("no such token")
        return (token, token)

    def authenticate_header(self, request):
        return "Token"


class BearerToken(BaseAuthentication):
    """What other clients send, and the gateway for an `EventSource`."""

    def authenticate(self, request):
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return None
        if not token.startswith("good-"):
            raise AuthenticationFailed("no such token")
        return (token, token)


class HasToken(BasePermission):
    def has_permission(self, request, view):
        return request.auth is not None


class EventStreamRenderer(BaseRenderer):
    media_type = "text/event-stream"
    format = "event-stream"

    def render(self, data, accepted_media_type=None, renderer_context=None):
        """For what is no stream (an error): an event, so that the body fits its type."""
        return f"event: error\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


class Notices(APIView):
    authentication_classes = [QueryToken, BearerToken]
    permission_classes = [HasToken]
    renderer_classes = [EventStreamRenderer, JSONRenderer]

    def get(self, request):
        every = float(request.query_params.get("every", 1))
        count = int(request.query_params.get("count", 1_000_000))
        first = resume_from(request.headers.get("Last-Event-ID"))
        entry = log.open(request.query_params, request.headers)

        def events():
            try:
                for number in range(first, first + count):
                    data = json.dumps({"notice": number, "text": CHINESE}, ensure_ascii=False)
                    yield f"event: notice\nid: {number}\ndata: {data}\n\n"
                    time.sleep(every)
            finally:
                log.close(entry)

        return StreamingHttpResponse(events(), content_type="text/event-stream; charset=utf-8")


urlpatterns = [
    path("notices/", Notices.as_view()),
    path("log", lambda request: JsonResponse(log.of(request.GET["key"]), safe=False)),
    path("page", lambda request: HttpResponse(PAGE)),
]

wsgi = get_wsgi_application()
