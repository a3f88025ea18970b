"""Addresses of usage, prices and budgets."""

from django.urls import path

from metering.views import budgets, prices, usage

urlpatterns = [
    path("usage/", usage.usage, name="usage"),
    path("usage/rows.csv", usage.usage_rows, name="usage_rows"),
    path("site/prices/", prices.prices, name="prices"),
    path("site/prices/add/", prices.add_price, name="add_price"),
    path("site/prices/<int:price_id>/", prices.change_price, name="change_price"),
    path("site/prices/<int:price_id>/remove/", prices.remove_price, name="remove_price"),
    path("site/budgets/", budgets.budget_list, name="budgets"),
    path("site/budgets/<int:budget_id>/", budgets.change_budget, name="change_budget"),
    path("site/budgets/<int:budget_id>/remove/", budgets.remove_budget, name="remove_budget"),
]
