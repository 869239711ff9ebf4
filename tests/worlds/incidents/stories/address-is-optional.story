+++
kind = "optional field read as if always there"
language = "Node"
run = ["node", "serve.js", "./people/routes.js", "{port}"]
checks = {tests = ["node", "--test"]}
usual = [{method = "GET", target = "/people?name=ada"}]
failing = [{method = "GET", target = "/people?name=bo"}]

[alert]
alertname = "HighErrorRate"
summary = "people answers 18 % of requests with 500"
+++
%% commit Ada: Show a person
%% shell node
%% file people/people.js
"use strict";

const PEOPLE = {
  ada: { name: "Ada", address: { city: "Kiel" } },
  bo: { name: "Bo" },
};

function find(name) {
  return PEOPLE[name] ?? {};
}

module.exports = { find };
%% file people/card.js
"use strict";

function card(person) {
  return {
    title: person.name,
  };
}

module.exports = { card };
%% file people/routes.js
"use strict";

const { card } = require("./card.js");
const { find } = require("./people.js");

exports.routes = {
  "GET /people": ({ name }) => card(find(name)),
};
%% file tests/card.test.js
"use strict";

const assert = require("node:assert");
const test = require("node:test");

const { card } = require("../people/card.js");

test("a card shows the name", () => {
  assert.strictEqual(card({ name: "Ada", address: { city: "Kiel" } }).title, "Ada");
});
%% commit Cy: Say what the service is
%% file README.md
# People

Shows who somebody is.
%% culprit Bo: Show the city on each card
%% edit people/card.js
    title: person.name,
%% to
    title: person.name,
    city: person.address.city,
%% edit tests/card.test.js
test("a card shows the name", () => {
%% to
test("a card shows the city", () => {
  assert.strictEqual(card({ name: "Ada", address: { city: "Kiel" } }).city, "Kiel");
});

test("a card shows the name", () => {
%% commit Ada: Show initials
%% edit people/card.js
function card(person) {
%% to
function initials(name) {
  return (name ?? "").slice(0, 1);
}

function card(person) {
%% edit people/card.js
    title: person.name,
%% to
    title: person.name,
    initials: initials(person.name),
