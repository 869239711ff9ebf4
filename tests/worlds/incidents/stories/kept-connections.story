+++
kind = "resource leak"
language = "Python"
run = ["python", "serve.py", "catalog.routes", "{port}"]
checks = {tests = ["python", "-m", "unittest", "-q"]}
usual = [{method = "GET", target = "/articles?sku=mug"}, {method = "GET", target = "/articles?sku=vase"}]
failing = [{method = "GET", target = "/articles?sku=teapot"}]
times = 7

[alert]
alertname = "HighErrorRate"
summary = "catalog answers more and more requests with 500"
+++
%% commit Ada: Look articles up
%% shell python
%% file catalog/__init__.py
%% file catalog/pool.py
"""Connections to the database: a few, lent to one request at a time."""

ROWS = {"mug": {"name": "Mug", "cents": 900}, "vase": {"name": "Vase", "cents": 2900}}


class Connection:
    def find(self, sku):
        return ROWS.get(sku)


class Pool:
    def __init__(self, size):
        self._free = [Connection() for _ in range(size)]
        self._size = size

    def acquire(self):
        if not self._free:
            raise RuntimeError(f"all {self._size} connections are taken")
        return self._free.pop()

    def release(self, connection):
        self._free.append(connection)
%% file catalog/articles.py
"""Articles, from the database."""

from catalog.pool import Pool

pool = Pool(size=3)


def find_article(sku):
    connection = pool.acquire()
    row = connection.find(sku) or {}
    pool.release(connection)
    return {"sku": sku, **row}
%% file catalog/routes.py
"""What the service answers."""

from catalog.articles import find_article


def show_article(query):
    return find_article(query["sku"])


ROUTES = {("GET", "/articles"): show_article}
%% file tests/__init__.py
%% file tests/test_articles.py
import unittest

from catalog.articles import find_article


class ArticlesTest(unittest.TestCase):
    def test_an_article_is_found(self):
        self.assertEqual(find_article("mug")["name"], "Mug")
%% commit Cy: Say what the service is
%% file README.md
# Catalog

Looks articles up.
%% culprit Bo: Say that an article is unknown
%% edit catalog/articles.py
    row = connection.find(sku) or {}
    pool.release(connection)
%% to
    row = connection.find(sku)
    if row is None:
        return {"sku": sku, "unknown": True}
    pool.release(connection)
%% edit tests/test_articles.py
class ArticlesTest(unittest.TestCase):
%% to
class ArticlesTest(unittest.TestCase):
    def test_an_article_is_unknown(self):
        self.assertTrue(find_article("teapot")["unknown"])

%% commit Ada: Sell bowls
%% edit catalog/pool.py
ROWS = {"mug": {"name": "Mug", "cents": 900}, "vase": {"name": "Vase", "cents": 2900}}
%% to
ROWS = {
    "mug": {"name": "Mug", "cents": 900},
    "bowl": {"name": "Bowl", "cents": 1200},
    "vase": {"name": "Vase", "cents": 2900},
}
