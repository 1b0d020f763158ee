pytest_plugins = ["partner_fixtures", "system_fixtures"]
