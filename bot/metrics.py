"""What Nightshift says about itself, in Prometheus' terms. Labels are closed sets or configured names."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry(auto_describe=True)

ALERTS = Counter(
    "nightshift_alert_deliveries", "Alert deliveries by sender and result.", ["source", "result"], registry=REGISTRY
)
INBOX_PENDING = Gauge("nightshift_inbox_pending", "Deliveries stored but not yet taken in.", registry=REGISTRY)
INBOX_OLDEST = Gauge(
    "nightshift_inbox_oldest_seconds", "Age of the oldest delivery not yet taken in.", registry=REGISTRY
)
DEAD_LETTERS = Gauge("nightshift_dead_letters", "Deliveries that could not be read.", registry=REGISTRY)
EFFECTS = Counter(
    "nightshift_effects", "Effects by channel, or contact, and result.", ["target", "result"], registry=REGISTRY
)
EFFECTS_OPEN = Gauge("nightshift_effects_open", "Effects that are due and not yet done.", registry=REGISTRY)
EFFECTS_OLDEST = Gauge("nightshift_effects_oldest_seconds", "Age of the oldest effect that is due.", registry=REGISTRY)
PAUSED = Gauge("nightshift_paused", "1 while the agent and all pushes are paused.", registry=REGISTRY)
INCIDENTS_OPEN = Gauge("nightshift_incidents_open", "Open incidents by state.", ["state"], registry=REGISTRY)
PRESSES = Counter(
    "nightshift_presses", "Presses and commands by channel and result.", ["channel", "result"], registry=REGISTRY
)
STAGES = Counter("nightshift_investigation_stages", "Finished stages of investigations.", ["stage"], registry=REGISTRY)
MODEL_RUNS = Counter("nightshift_model_runs", "Runs of the model by result.", ["result"], registry=REGISTRY)
MODEL_TOKENS = Counter(
    "nightshift_model_tokens",
    "Tokens: prompt (with cached ones), cached, completion (with reasoning), reasoning.",
    ["kind"],
    registry=REGISTRY,
)
MODEL_SPENT = Gauge(
    "nightshift_model_spent_today",
    "What the model used today (UTC), reserved calls included, by service and measure.",
    ["service", "kind"],
    registry=REGISTRY,
)
MODEL_BUDGET = Gauge(
    "nightshift_model_budget_of_a_day",
    "Limits of model.budgets, by scope and measure.",
    ["scope", "kind"],
    registry=REGISTRY,
)
MODEL_REQUESTS = Counter(
    "nightshift_model_requests",
    "Requests to model servers by result; more than one for an answer are retries.",
    ["server", "result"],
    registry=REGISTRY,
)
MODEL_OPEN = Gauge(
    "nightshift_model_breaker_open",
    "1 while a model server is left alone because it failed.",
    ["server"],
    registry=REGISTRY,
)
MODEL_ABILITY = Gauge(
    "nightshift_model_ability",
    "1 where a model server showed at the start that it can do this.",
    ["server", "ability"],
    registry=REGISTRY,
)
PUSHES = Counter("nightshift_pushes", "Pushes by result.", ["result"], registry=REGISTRY)
CI_VERDICTS = Counter("nightshift_ci_verdicts", "CI verdicts.", ["state"], registry=REGISTRY)
TAKEOVERS = Counter("nightshift_takeovers", "Dead front processes whose phases were taken over.", registry=REGISTRY)
WEBHOOK_SECONDS = Histogram(
    "nightshift_webhook_seconds",
    "Time to answer an alert delivery.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
    registry=REGISTRY,
)
