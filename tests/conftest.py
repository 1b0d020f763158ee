pytest_plugins = ["partner_fixtures"]
