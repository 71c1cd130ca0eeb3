"use strict";
// Live updates, copying and small comforts. Every page works without this file.
(() => {
  const body = document.body;
  const status = document.getElementById("live");

  // Times in the reader's own zone and spelling; a day only where it is not plain anyway.
  const digits = { hour: "2-digit", minute: "2-digit" };
  const short = new Intl.DateTimeFormat([], digits);
  const clock = new Intl.DateTimeFormat([], { ...digits, second: "2-digit" });
  const fine = new Intl.DateTimeFormat([], {
    ...digits,
    second: "2-digit",
    fractionalSecondDigits: 3,
  });
  const day = new Intl.DateTimeFormat([], { day: "numeric", month: "short" });
  const date = new Intl.DateTimeFormat([], { day: "numeric", month: "short", year: "numeric" });
  function spelled(time) {
    const moment = new Date(time.dateTime);
    if (isNaN(moment)) return time.textContent;
    const wish = time.dataset;
    const text = ("millis" in wish ? fine : "minutes" in wish ? short : clock).format(moment);
    const now = new Date();
    const beside = wish.beside ? new Date(wish.beside) : now;
    if (moment.toDateString() === beside.toDateString()) return text;
    const same = moment.getFullYear() === now.getFullYear();
    return `${(same ? day : date).format(moment)}, ${text}`;
  }

  // How long something has taken so far, as the server spells it.
  function elapsed(since) {
    const minutes = Math.max(0, Math.floor((Date.now() - new Date(since)) / 60000));
    const rest = minutes % 60;
    return minutes < 60 ? `${minutes} min` : `${(minutes - rest) / 60} h ${String(rest).padStart(2, "0")} min`;
  }
  function count(root) {
    for (const span of root.querySelectorAll("[data-since]")) {
      const text = elapsed(span.dataset.since);
      if (!text.includes("NaN") && span.textContent !== text) span.textContent = text;
    }
  }

  // Plots and fields tell times in the zone of the gateway, unless they are told of another.
  const offset = (moment) => -moment.getTimezoneOffset(); // minutes east of UTC
  function rezone(root) {
    if (offset(new Date()) === Number(body.dataset.offset)) return;
    for (const image of root.querySelectorAll("picture source, picture img")) {
      const name = image.hasAttribute("srcset") ? "srcset" : "src";
      const url = image.getAttribute(name);
      if (!url.includes("&offset=")) image.setAttribute(name, `${url}&offset=${offset(new Date())}`);
    }
    for (const field of root.querySelectorAll("input[data-stamp]")) {
      const moment = new Date(field.dataset.stamp);
      if (isNaN(moment)) continue;
      const shifted = new Date(moment.getTime() + offset(moment) * 60000);
      field.setAttribute("value", shifted.toISOString().slice(0, 19));
    }
  }

  // Make what the server sent fit this page: times, tokens, and what needs scripts.
  function prepare(root) {
    for (const time of root.querySelectorAll("time[datetime]")) time.textContent = spelled(time);
    count(root);
    rezone(root);
    for (const field of root.querySelectorAll("input[name=form_token]")) {
      field.setAttribute("value", body.dataset.token);
    }
    for (const hidden of root.querySelectorAll("[data-script]")) hidden.hidden = false;
  }

  // Change an element into another in place, so that focus, open details and what somebody
  // types right now stay as they are.
  function morph(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const named = new Map([...old.children].filter((one) => one.id).map((one) => [one.id, one]));
    let spot = old.firstChild;
    for (const node of [...fresh.childNodes]) {
      let same = node.id ? named.get(node.id) : spot && !spot.id ? spot : null;
      if (same && same.nodeName !== node.nodeName) same = null;
      if (!same) old.insertBefore(node, spot);
      else {
        if (same === spot) spot = spot.nextSibling;
        else old.insertBefore(same, spot);
        morph(same, node);
      }
    }
    while (spot) {
      const next = spot.nextSibling;
      spot.remove();
      spot = next;
    }
  }

  function parts(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    prepare(template.content);
    return [...template.content.children];
  }

  // Return whether a fresh part has its place on this page.
  function update(fresh) {
    const old = document.getElementById(fresh.id);
    if (!old || old.dataset.kind !== fresh.dataset.kind) return false;
    morph(old, fresh);
    return true;
  }

  // Load the page again and put its parts in place: one at a time, and not too often.
  const BREATH = 1000;
  let loading = false;
  let stale = false; // something happened since the page was asked for
  let missed = false; // something, while the messages were paused
  async function reload() {
    stale = true;
    if (loading) return;
    loading = true;
    await new Promise((done) => setTimeout(done, 300));
    while (stale) {
      stale = false;
      await load();
      await new Promise((done) => setTimeout(done, BREATH));
    }
    loading = false;
  }

  async function load() {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      missed = isPaused();
      if (missed) return;
      body.dataset.token = page.body.dataset.token;
      prepare(page);
      for (const part of page.querySelectorAll("[data-live]")) {
        if (!part.parentElement.closest("[data-live]")) update(document.importNode(part, true));
      }
      prepare(document);
      filter();
    } catch {
      // The connection is away; it reloads when it is back.
    }
  }

  // The messages: newest first, filtered as one types, paused on demand.
  const frames = document.getElementById("frames");
  const search = document.getElementById("q");
  const only = document.getElementById("only");
  const pause = document.getElementById("pause");
  const FRAMES = 200;
  let held = [];

  function filter() {
    if (!frames) return;
    const words = search.value.toLowerCase();
    let shown = 0;
    for (const item of frames.children) {
      const kinds = item.dataset.kinds.split(" ");
      const fits = !only.value || kinds.includes(only.value);
      item.hidden = !fits || !item.textContent.toLowerCase().includes(words);
      if (!item.hidden) shown += 1;
    }
    document.getElementById("silence").hidden = shown > 0;
  }

  function isPaused() {
    return pause?.getAttribute("aria-pressed") === "true";
  }

  function addFrame(html) {
    for (const fresh of parts(html)) {
      if (document.getElementById(fresh.id)) continue;
      fresh.classList.add("fresh");
      frames.prepend(fresh);
    }
    while (frames.children.length > FRAMES) frames.lastElementChild.remove();
    filter();
  }

  if (frames) {
    search.addEventListener("input", filter);
    only.addEventListener("change", filter);
    search.form.addEventListener("submit", (event) => event.preventDefault());
    pause.addEventListener("click", () => {
      pause.setAttribute("aria-pressed", String(!isPaused()));
      pause.textContent = isPaused() ? "Go on" : "Pause";
      if (isPaused()) return;
      held.splice(0).forEach(addFrame);
      if (missed) reload();
    });
  }

  // Live updates.
  let patience = 1000;
  function follow() {
    const url = new URL("api/live", document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("view", body.dataset.view);
    url.searchParams.set("since", body.dataset.version);
    if (body.dataset.charger) url.searchParams.set("charger", body.dataset.charger);
    const socket = new WebSocket(url);
    socket.onopen = () => {
      patience = 1000;
      status.textContent = "Live";
      status.classList.add("on");
    };
    socket.onmessage = (message) => {
      const event = JSON.parse(message.data);
      if (event.event === "reload") reload();
      else if (event.event === "gone") document.getElementById(event.id) && reload();
      else if (event.event === "frame") {
        if (isPaused()) held = [...held, event.html].slice(-FRAMES);
        else addFrame(event.html);
      } else if (event.event === "html") {
        for (const fresh of parts(event.html)) if (!update(fresh)) reload();
      }
    };
    socket.onclose = () => {
      status.textContent = "Not live, connecting again …";
      status.classList.remove("on");
      body.dataset.version = "-1"; // whatever was missed
      setTimeout(follow, patience);
      patience = Math.min(patience * 2, 30000);
    };
  }

  // Copying works without a secure context too.
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = document.createElement("textarea");
      field.value = text;
      body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    await copy(button.dataset.copy || button.closest("details").querySelector("pre").textContent);
    const label = button.innerHTML;
    button.textContent = "Copied";
    setTimeout(() => (button.innerHTML = label), 1500);
  });

  document.addEventListener("click", (event) => {
    event.target.closest("[data-close]")?.closest(".notice").remove();
  });

  document.addEventListener("submit", (event) => {
    const until = event.target.querySelector("input[type=datetime-local]");
    if (until?.value) event.target.elements.offset.value = offset(new Date(until.value));
    event.submitter?.setAttribute("aria-busy", "true");
  });

  // A notice is shown once: the address bar shall not keep its key.
  const address = new URL(location.href);
  if (address.searchParams.has("notice")) {
    address.searchParams.delete("notice");
    history.replaceState(null, "", address);
  }

  prepare(document);
  filter();
  setInterval(() => count(document), 10000);
  if (body.dataset.view) follow();
})();
