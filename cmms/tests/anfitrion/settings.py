"""The demo's settings with Django's own apps.

On PostgreSQL where CMMS_TESTS_POSTGRESQL holds a port, on MariaDB where CMMS_TESTS_MARIADB does, else on SQLite.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import django

from demo.settings import *  # noqa: F403
from demo.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE, TEMPLATES

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.admindocs",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.flatpages",
    "django.contrib.messages",
    "django.contrib.redirects",
    "django.contrib.sessions",
    "django.contrib.sites",
    *INSTALLED_APPS,
    "anfitrion",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    *MIDDLEWARE,
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        **TEMPLATES[0],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "anfitrion.urls"
SITE_ID = 1
STATIC_URL = "static/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A file, because threads and web servers open connections of their own: those to a database in memory are never closed,
# and lock each other out.
_FOLDER = tempfile.mkdtemp(prefix="cmms-tests-")
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
DATABASES["default"]["TEST"] = {"NAME": str(Path(_FOLDER) / "test.sqlite3")}
if django.VERSION < (5, 1):
    DATABASES["default"]["OPTIONS"] = {"timeout": 20}  # the demo's options for SQLite came with 5.1
if port := os.environ.get("CMMS_TESTS_POSTGRESQL"):
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "cmms",
        "USER": "postgres",
        "HOST": "127.0.0.1",
        "PORT": port,
    }
if port := os.environ.get("CMMS_TESTS_MARIADB"):
    import pymysql  # type: ignore[import-untyped]

    pymysql.version_info = (2, 2, 7, "final", 0)  # Django asks for a version of mysqlclient, whose name it takes
    pymysql.install_as_MySQLdb()
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.mysql",
        "NAME": "cmms",
        "USER": "root",
        "HOST": "127.0.0.1",
        "PORT": port,
        "OPTIONS": {"charset": "utf8mb4"},
    }
