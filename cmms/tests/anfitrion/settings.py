"""The demo's settings with Django's own apps; on PostgreSQL where CMMS_TESTS_POSTGRESQL holds a port."""

import os

import django

from demo.settings import *  # noqa: F403
from demo.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE, TEMPLATES

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
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
STATIC_URL = "static/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
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
