+++
kind = "missing await"
language = "Node"
run = ["node", "serve.js", "./quotes/routes.js", "{port}"]
checks = {tests = ["node", "--test"]}
usual = [{method = "GET", target = "/quote?sku=mug"}, {method = "GET", target = "/quote?sku=vase"}]
failing = [{method = "GET", target = "/cheapest?below=2000"}]

[alert]
alertname = "HighErrorRate"
summary = "quotes answers 27 % of requests with 500"
+++
%% commit Ada: Quote a price
%% shell node
%% file prices.json
[
  { "sku": "mug", "cents": 900 },
  { "sku": "vase", "cents": 2900 }
]
%% file quotes/prices.js
"use strict";
// The price list, from prices.json.

const fs = require("node:fs");
const path = require("node:path");

const FILE = path.join(__dirname, "..", "prices.json");

function loadPrices() {
  return JSON.parse(fs.readFileSync(FILE, "utf8"));
}

module.exports = { loadPrices };
%% file quotes/quote.js
"use strict";

const { loadPrices } = require("./prices.js");

function quote(sku) {
  const row = loadPrices().find((each) => each.sku === sku);
  return row ? row.cents : null;
}

module.exports = { quote };
%% file quotes/routes.js
"use strict";

const { quote } = require("./quote.js");

exports.routes = {
  "GET /quote": async ({ sku }) => ({ sku, cents: await quote(sku) }),
};
%% file tests/quote.test.js
"use strict";

const assert = require("node:assert");
const test = require("node:test");

const { quote } = require("../quotes/quote.js");

test("a mug has a price", async () => {
  assert.strictEqual(await quote("mug"), 900);
});
%% commit Cy: Say which articles are cheap
%% file quotes/cheapest.js
"use strict";

const { loadPrices } = require("./prices.js");

function findCheap(below) {
  const rows = loadPrices().filter((each) => each.cents < below);
  return rows.map((each) => each.sku);
}

module.exports = { findCheap };
%% file quotes/routes.js
"use strict";

const { findCheap } = require("./cheapest.js");
const { quote } = require("./quote.js");

exports.routes = {
  "GET /cheapest": async ({ below }) => ({ skus: await findCheap(Number(below)) }),
  "GET /quote": async ({ sku }) => ({ sku, cents: await quote(sku) }),
};
%% culprit Bo: Read the price list without blocking
%% edit quotes/prices.js
const fs = require("node:fs");
%% to
const fs = require("node:fs/promises");
%% edit quotes/prices.js
function loadPrices() {
  return JSON.parse(fs.readFileSync(FILE, "utf8"));
}
%% to
async function loadPrices() {
  return JSON.parse(await fs.readFile(FILE, "utf8"));
}
%% edit quotes/quote.js
function quote(sku) {
  const row = loadPrices().find((each) => each.sku === sku);
%% to
async function quote(sku) {
  const row = (await loadPrices()).find((each) => each.sku === sku);
%% commit Ada: Sell teapots
%% file prices.json
[
  { "sku": "mug", "cents": 900 },
  { "sku": "teapot", "cents": 3900 },
  { "sku": "vase", "cents": 2900 }
]
