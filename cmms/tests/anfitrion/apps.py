from django.apps import AppConfig


class AnfitrionConfig(AppConfig):
    name = "anfitrion"
    verbose_name = "Anfitrión"
