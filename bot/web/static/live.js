// Keeps a page in step with Nightshift, and sends its forms without leaving it. Without this script every
// form still works: the answer then stands on the page that comes back.
"use strict";
(() => {
  const { events, fragment, now } = document.body.dataset;
  document.documentElement.classList.add("js");
  if (!events) return;

  const byId = (id) => document.getElementById(id);
  const skew = Date.parse(now) - Date.now(); // ages follow the server's clock

  // ---- the "live" mark -------------------------------------------------------------------------------

  let seenAt = now;
  const mark = (state) => {
    const words = { live: "Live", lost: `Reconnecting… as of ${seenAt.slice(11, 19)} UTC`, wait: "Connecting…" };
    if (byId("live").dataset.state === state) return;
    byId("live").dataset.state = state;
    byId("live-text").textContent = words[state];
  };

  // ---- ages ------------------------------------------------------------------------------------------

  const age = (since) => {
    const seconds = Math.max(0, Math.floor((Date.now() + skew - Date.parse(since)) / 1000));
    const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(seconds / unit));
    if (minutes < 1) return `${seconds} s`;
    if (hours < 1) return `${minutes} min`;
    if (days < 1) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
    return `${days} d ${hours % 24} h`;
  };
  const showAges = () => {
    for (const time of document.querySelectorAll("time[data-since]")) time.textContent = age(time.dateTime);
  };
  setInterval(showAges, 10000);

  // ---- replacing what changed, and nothing else ------------------------------------------------------

  const mergeList = (old, fresh) => {
    const kept = new Map([...old.children].map((child) => [child.id, child]));
    let before = null;
    for (const child of [...fresh.children]) {
      const present = kept.get(child.id);
      kept.delete(child.id);
      let node = present;
      if (!present || present.dataset.v !== child.dataset.v) {
        node = document.adoptNode(child);
        if (present) {
          for (const open of present.querySelectorAll("details[id]")) {
            const again = node.querySelector(`#${CSS.escape(open.id)}`);
            if (again) again.open = open.open;
          }
          present.replaceWith(node);
        }
        if (node.matches("article, .row")) node.classList.add("arrived");
      }
      const place = before ? before.nextElementSibling : old.firstElementChild;
      if (place !== node) old.insertBefore(node, place);
      before = node;
    }
    for (const gone of kept.values()) gone.remove();
  };

  const merge = (html) => {
    const part = new DOMParser().parseFromString(html, "text/html").querySelector("[data-part]");
    if (!part) return;
    const focus = document.activeElement;
    const home = focus && focus.closest("[data-v]");
    // What stays in place: the field that is typed into, else the first part in view.
    const typing = focus && focus.matches("#say-text") ? focus : null;
    const anchor = typing || [...document.querySelectorAll("[data-v]")].find((node) => node.getBoundingClientRect().top > 0);
    const top = anchor && anchor.getBoundingClientRect().top;
    for (const fresh of part.querySelectorAll("[data-list]")) {
      const old = byId(fresh.id);
      if (old) mergeList(old, fresh);
    }
    document.title = part.dataset.title;
    if (focus && focus.id && !focus.isConnected) (byId(focus.id) || byId(home && home.id) || byId("main")).focus({ preventScroll: true });
    const still = anchor && byId(anchor.id);
    if (still && (typing || window.scrollY > 8)) window.scrollBy(0, still.getBoundingClientRect().top - top);
    showAges();
    warnIfChanged();
  };

  let fetching = false;
  let again = false;
  let retry = 0;
  const refresh = async () => {
    if (fetching) {
      again = true;
      return;
    }
    fetching = true;
    try {
      const answer = await fetch(fragment, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.status === 403 || answer.status === 404) location.reload();
      else if (answer.ok) merge(await answer.text());
      else throw new Error(answer.statusText);
    } catch {
      clearTimeout(retry);
      retry = setTimeout(refresh, 2000);
    } finally {
      fetching = false;
      if (again) {
        again = false;
        setTimeout(refresh, 100);
      }
    }
  };

  // ---- the stream ------------------------------------------------------------------------------------

  let source = null;
  let heard = 0;
  let pause = 1000;
  const connect = () => {
    if (source) source.close();
    heard = Date.now();
    source = new EventSource(events);
    const hear = () => {
      heard = Date.now();
      seenAt = new Date(heard + skew).toISOString();
      pause = 1000;
      mark("live");
    };
    source.addEventListener("hello", () => { hear(); refresh(); });
    source.addEventListener("beat", hear);
    source.addEventListener("change", () => { hear(); refresh(); });
    source.addEventListener("error", () => {
      mark("lost");
      refresh(); // learns at once whether the session has ended
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      setTimeout(connect, pause);
      pause = Math.min(pause * 2, 15000);
    });
  };
  // A phone that slept, or changed its network, may hold a stream that is dead and does not know it.
  const revive = () => {
    if (Date.now() - heard < 40000) return;
    mark("lost");
    connect();
  };
  setInterval(revive, 5000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) revive(); });

  // ---- the private answer ----------------------------------------------------------------------------

  const tell = (text, ok) => {
    byId("notice").hidden = false;
    byId("notice").classList.toggle("notice-bad", !ok);
    byId("notice-text").textContent = text;
  };
  const hush = () => { byId("notice").hidden = true; byId("notice-text").textContent = ""; };
  byId("notice-close").addEventListener("click", hush);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !byId("ask").open) hush(); });

  // ---- sending forms ---------------------------------------------------------------------------------

  const newNonce = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  const send = async (form, button) => {
    if (form.dataset.busy) return;
    form.dataset.busy = "yes";
    if (button) button.setAttribute("aria-busy", "true");
    const parts = new FormData(form);
    const fields = form.enctype === "multipart/form-data" ? parts : new URLSearchParams(parts);
    if (button && button.name) fields.set(button.name, button.value);
    let reply = { ok: false, text: "Not sent: no connection. Press again when it is back; it counts only once." };
    try {
      const answer = await fetch(form.getAttribute("action"), { method: "POST", headers: { Accept: "application/json" }, body: fields });
      reply = await answer.json();
      if (answer.ok) form.elements.event.value = newNonce(); // it was taken: the next press is a new event
      if (reply.ok && "clear" in form.dataset) {
        form.elements.text.value = "";
        if (form.elements.picture) form.elements.picture.value = "";
      }
    } catch { /* the same event is sent again, so it cannot count twice */ }
    delete form.dataset.busy;
    if (button) button.removeAttribute("aria-busy");
    return reply;
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!("send" in form.dataset)) return;
    event.preventDefault();
    const inDialog = byId("ask").contains(form);
    const reply = await send(form, event.submitter);
    if (!reply) return;
    if (inDialog && byId("ask").open && !reply.ok) {
      byId("ask-error").textContent = reply.text;
      byId("ask-error").hidden = false;
      return;
    }
    if (inDialog) byId("ask").close();
    tell(reply.text, reply.ok);
  });

  // ---- questions that a button asks first ------------------------------------------------------------

  const ask = byId("ask");
  let asker = null;
  const openAsk = (details) => {
    const form = details.querySelector("form").cloneNode(true);
    const message = details.closest("[data-v]");
    asker = { button: details.querySelector("summary").id, message: message.id, version: message.dataset.v };
    form.elements.event.value = newNonce();
    byId("ask-title").textContent = form.dataset.title;
    byId("ask-changed").hidden = true;
    byId("ask-error").hidden = true;
    byId("ask-body").replaceChildren(form);
    ask.showModal();
    const first = form.querySelector("input:not([type=hidden]), textarea, select, button");
    if (first) first.focus();
  };
  const warnIfChanged = () => {
    if (!ask.open || !asker) return;
    const message = byId(asker.message);
    byId("ask-changed").hidden = Boolean(message) && message.dataset.v === asker.version;
  };
  ask.addEventListener("close", () => {
    if (ask.open) return; // this event comes late: the next question is open already
    byId("ask-body").replaceChildren();
    const back = asker && (byId(asker.button) || byId(asker.message));
    asker = null;
    if (back) back.focus({ preventScroll: true });
  });
  document.addEventListener("click", (event) => {
    const summary = event.target.closest("details.ask > summary");
    if (summary) {
      event.preventDefault();
      openAsk(summary.parentElement);
    }
    if (event.target.closest("[data-cancel]")) ask.close();
  });
  document.addEventListener("keydown", (event) => {
    const form = event.target.closest && event.target.closest("form[data-send]");
    if (form && event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });

  // A screenshot that is pasted where words are typed goes with them.
  document.addEventListener("paste", (event) => {
    const picture = event.target.closest && event.target.closest("#say") && byId("say-picture");
    if (!picture || !event.clipboardData.files.length) return;
    event.preventDefault();
    picture.files = event.clipboardData.files;
  });

  // An open page of the history comes back as it was left: fetch what happened since.
  window.addEventListener("pageshow", (event) => { if (event.persisted) { connect(); refresh(); } });

  mark("wait");
  connect();
})();
