"""Requests to a Django application change table `t`; DATABASE_URL names the database."""

import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/context/django"))

url = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path[1:],
            "USER": unquote(url.username),
            "PASSWORD": unquote(url.password),
            "HOST": url.hostname,
            "PORT": url.port,
            "ATOMIC_REQUESTS": True,
            # As behind a server that keeps connections: the second request gets a used one.
            "CONN_MAX_AGE": None,
        }
    },
    MIDDLEWARE=[f"{__name__}.log_in", "rowhook_context.RowhookContext"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="a test",
)
django.setup()

from django.db import connection, models, transaction  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402


class Row(models.Model):
    id = models.IntegerField(primary_key=True)
    v = models.IntegerField(null=True)

    class Meta:
        app_label = "test"
        db_table = "t"
        managed = False


class User:
    is_authenticated = True

    def __init__(self, name):
        self.pk = name


def log_in(get_response):
    def middleware(request):
        if name := request.GET.get("user"):
            request.user = User(name)
        return get_response(request)

    return middleware


def write(request, id):
    Row.objects.count()
    Row.objects.create(id=id, v=1)
    try:
        with transaction.atomic():
            Row.objects.filter(id=id).update(v=2)
            raise KeyError
    except KeyError:
        pass
    if request.GET.get("fail"):
        raise ValueError("rolled back")
    return HttpResponse("written")


urlpatterns = [path("write/<int:id>", write)]

client = Client(raise_request_exception=False)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
for request, status in [
    ("/write/1?user=ada", 200),
    ("/write/2?user=eve&fail=1", 500),
    ("/write/3?user=käthe", 200),
]:
    answer = client.get(request, headers={"traceparent": TRACE, "x-request-id": request})
    assert answer.status_code == status, answer.content
# Outside of a request there is nobody to name.
with transaction.atomic():
    Row.objects.create(id=4)
connection.close()
