from django.contrib import admin

from .models import Equipo

admin.site.register(Equipo)
