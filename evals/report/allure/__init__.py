"""A run as an Allure report."""
