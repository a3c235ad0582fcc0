from django.contrib import admin
from django.urls import path

from demo.urls import urlpatterns as demo

urlpatterns = [path("admin/", admin.site.urls), *demo]
