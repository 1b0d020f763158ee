pytest_plugins = ["support.partner_fixtures", "support.system_fixtures"]
