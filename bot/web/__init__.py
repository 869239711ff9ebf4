"""The aiohttp server: webhooks, pages, health, metrics, the admin API."""
