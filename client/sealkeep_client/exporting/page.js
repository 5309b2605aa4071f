"use strict";
// Shows the blocks of messages that the page holds as text: those in sight, and nothing of the others. All HTML in them
// was made by the exporter, which escaped whatever came from a chat; here such text only ever goes into text nodes.
document.documentElement.classList.add("js");
addEventListener("DOMContentLoaded", () => {
  const $ = (id) => document.getElementById(id);
  const make = (tag, text, kind) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };
  const log = $("log");
  const phone = matchMedia("(max-width: 720px)");
  const HEIGHT = 52; // of a message that was never shown, in pixels: only a guess

  // --- chats ---------------------------------------------------------------------------------------------------------------

  const chats = Array.from(document.querySelectorAll("#raw > .chat"), (raw) => {
    const title = raw.querySelector("summary bdi").textContent;
    const end = raw.querySelector(":scope > .end");
    return {
      id: raw.id,
      title,
      facts: raw.querySelector("summary small").textContent,
      time: Number(raw.dataset.t),
      last: end ? end.textContent : "",
      blocks: Array.from(raw.querySelectorAll(":scope > noscript")),
      link: null,
    };
  }).sort((a, b) => b.time - a.time);
  const byId = new Map(chats.map((chat) => [chat.id, chat]));
  let current = null;

  const colour = (text) => {
    let sum = 0;
    for (const letter of text) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
    return "c" + (sum % 8);
  };
  for (const chat of chats) {
    const item = make("li");
    const link = make("a");
    link.href = "#" + chat.id;
    const letter = /[\p{L}\p{N}]/u.exec(chat.title);
    const face = make("i", letter ? letter[0].toUpperCase() : "#", colour(chat.title));
    face.setAttribute("aria-hidden", "true");
    const about = make("span");
    if (chat.blocks.length) about.append(make("time", new Date(chat.time).toISOString().slice(0, 10)));
    const name = make("b", chat.title);
    name.dir = "auto";
    const line = make("small", chat.last || chat.facts);
    line.dir = "auto";
    about.append(name, line);
    link.append(face, about);
    item.append(link);
    chat.link = link;
    $("list").append(item);
  }

  // --- blocks in sight -----------------------------------------------------------------------------------------------------

  const sections = new Map(); // the section of each block of the open chat
  const parse = (block) => {
    const template = document.createElement("template");
    template.innerHTML = block.textContent;
    return template.content;
  };
  // The messages of each day in an element of their own, in which its heading stays in sight.
  const days = (content) => {
    const found = document.createDocumentFragment();
    for (const node of Array.from(content.children)) {
      if (node.tagName === "H3") found.append(make("div"));
      found.lastChild.append(node);
    }
    return found;
  };
  const show = (section) => {
    if (section.childNodes.length) return;
    const before = section.offsetHeight;
    const isAbove = section.getBoundingClientRect().top < log.getBoundingClientRect().top;
    section.append(days(document.importNode(parse(section.block), true)));
    section.style.height = "";
    // What is read must not move when something above it turns out longer or shorter.
    if (isAbove) log.scrollTop += section.offsetHeight - before;
  };
  const hide = (section) => {
    if (!section.childNodes.length || printing || section.contains(document.activeElement)) return;
    section.style.height = section.offsetHeight + "px";
    section.replaceChildren();
  };
  let printing = false;
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) if (!entry.isIntersecting) hide(entry.target);
      for (const entry of entries) if (entry.isIntersecting) show(entry.target);
    },
    { root: log, rootMargin: "1200px 0px" },
  );
  addEventListener("beforeprint", () => {
    printing = true;
    for (const section of sections.values()) show(section);
  });
  addEventListener("afterprint", () => (printing = false));

  const open = (chat) => {
    if (current === chat) return;
    if (current) current.link.removeAttribute("aria-current");
    watcher.disconnect();
    sections.clear();
    log.replaceChildren();
    current = chat;
    document.body.classList.toggle("reading", Boolean(chat));
    $("head").hidden = !chat;
    $("none").hidden = Boolean(chat);
    document.title = chat ? chat.title : "Chats";
    if (!chat) return;
    chat.link.setAttribute("aria-current", "true");
    $("title").textContent = chat.title;
    $("title").dir = "auto";
    $("facts").textContent = chat.facts;
    log.setAttribute("aria-label", "Messages of " + chat.title);
    for (const block of chat.blocks) {
      const section = make("section");
      section.block = block;
      section.style.height = block.dataset.n * HEIGHT + "px";
      sections.set(block, section);
      log.append(section);
    }
    $("day").min = chat.blocks.length ? chat.blocks[0].dataset.d : "";
    $("day").max = new Date(chat.time + 864e5).toISOString().slice(0, 10);
    toEnd();
    for (const section of sections.values()) watcher.observe(section);
  };
  const toEnd = () => {
    const all = Array.from(sections.values());
    for (const section of all.slice(-2)) show(section);
    log.scrollTop = log.scrollHeight;
  };
  const toStart = () => {
    for (const section of Array.from(sections.values()).slice(0, 2)) show(section);
    log.scrollTop = 0;
  };

  // --- going somewhere -----------------------------------------------------------------------------------------------------

  const reveal = (block, find, centred) => {
    const section = sections.get(block);
    show(section);
    const target = find(section);
    if (!target) return;
    // Shown first what is around it, so that it stays where it was scrolled to.
    for (const other of [section.previousElementSibling, section.nextElementSibling]) if (other) show(other);
    target.scrollIntoView({ block: centred ? "center" : "start" });
    if (!centred) return;
    target.classList.remove("flash");
    void target.offsetWidth;
    target.classList.add("flash");
    target.tabIndex = -1;
    target.focus({ preventScroll: true });
  };
  const toMessage = (id) => {
    const block = current.blocks.find((one) => one.textContent.includes("id=" + id + ">"));
    if (block) reveal(block, (section) => section.querySelector("#" + CSS.escape(id)), true);
    else $("status").textContent = "That message is not in this export.";
  };
  const toDay = (day) => {
    if (!current || !current.blocks.length) return;
    const block = current.blocks.findLast((one) => one.dataset.d < day) || current.blocks[0];
    const after = current.blocks[current.blocks.indexOf(block) + 1];
    const find = (section) => Array.from(section.children).find((one) => one.querySelector("h3 time").dateTime >= day);
    show(sections.get(block));
    if (find(sections.get(block)) || !after) reveal(block, (section) => find(section) || section.lastElementChild, false);
    else reveal(after, (section) => find(section) || section.firstElementChild, false);
  };
  const route = () => {
    const [id, message] = location.hash.slice(1).split("/");
    const chat = byId.get(id) || null;
    if (!chat && id) return; // some anchor of the page's own
    open(chat);
    if (chat && message) toMessage(message);
  };
  addEventListener("hashchange", route);

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    const href = link.getAttribute("href");
    if (href.startsWith("#m")) {
      event.preventDefault();
      toMessage(href.slice(1));
    } else if (href === "#log") {
      event.preventDefault();
      log.focus();
    } else if (href === location.hash) {
      route();
      if (href.includes("/")) event.preventDefault();
    } else if (!href.startsWith("#")) {
      link.target = "_blank";
      link.rel = "noopener noreferrer";
    }
  });
  $("back").addEventListener("click", () => (location.hash = ""));
  $("first").addEventListener("click", toStart);
  $("last").addEventListener("click", toEnd);
  $("day").addEventListener("change", (event) => event.target.value && toDay(event.target.value));

  // --- search --------------------------------------------------------------------------------------------------------------

  const MOST = 200;
  let search = 0;
  const hit = (chat, element, text, at, length) => {
    const item = make("li");
    const link = make("a");
    link.href = "#" + chat.id + "/" + element.id;
    const name = make("b", chat.title);
    name.dir = "auto";
    const line = make("bdi", (at > 30 ? "…" : "") + text.slice(Math.max(0, at - 30), at));
    line.append(make("mark", text.slice(at, at + length)), text.slice(at + length, at + length + 90));
    const author = element.tagName === "DD" ? element.parentNode.firstElementChild.textContent + ": " : "";
    link.append(name, author, line);
    item.append(link);
    $("hits").append(item);
  };
  const searchIn = (chat, block, query, words) => {
    const raw = block.textContent.toLowerCase();
    if (!words.every((word) => raw.includes(word))) return 0;
    let found = 0;
    // The newest first, as the chats are.
    for (const element of Array.from(parse(block).querySelectorAll("dd, p.s")).reverse()) {
      for (const part of element.querySelectorAll("time, .q")) part.remove();
      const text = element.textContent;
      const at = text.toLowerCase().indexOf(query);
      if (at < 0) continue;
      hit(chat, element, text, at, query.length);
      found += 1;
    }
    return found;
  };
  const find = async (typed) => {
    const mine = ++search;
    const query = typed.trim().toLowerCase();
    let shown = 0;
    for (const chat of chats) {
      chat.link.parentNode.hidden = !chat.title.toLowerCase().includes(query);
      if (!chat.link.parentNode.hidden) shown += 1;
    }
    $("hits").replaceChildren();
    $("hits").hidden = !query;
    $("list").hidden = Boolean(query) && !shown;
    $("status").textContent = query ? "Searching…" : "";
    if (!query) return;
    const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
    const words = query.split(/\s+/).map(escaped);
    let found = 0;
    let since = performance.now();
    for (const chat of chats) {
      for (const block of chat.blocks.toReversed ? chat.blocks.toReversed() : chat.blocks.slice().reverse()) {
        found += searchIn(chat, block, query, words);
        if (performance.now() - since > 24) {
          await new Promise((resume) => setTimeout(resume));
          if (mine !== search) return;
          since = performance.now();
        }
        if (found >= MOST) break;
      }
      if (found >= MOST) break;
    }
    const messages = found >= MOST ? "The newest " + found + " messages" : found + (found === 1 ? " message" : " messages");
    $("status").textContent = (shown ? shown + (shown === 1 ? " chat, " : " chats, ") : "") + messages;
  };
  let typing = 0;
  $("find").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(find, 180, event.target.value);
  });

  // --- keys ----------------------------------------------------------------------------------------------------------------

  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input");
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      if (phone.matches && current) location.hash = "";
      $("find").focus();
    } else if (event.key === "Escape" && event.target === $("find") && $("find").value) {
      $("find").value = "";
      find("");
    } else if (event.key === "Escape" && phone.matches && current) {
      location.hash = "";
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && $("side").contains(event.target)) {
      const links = Array.from($("side").querySelectorAll("li:not([hidden]) > a")).filter((one) => one.offsetParent);
      const at = links.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1);
      event.preventDefault();
      (links[at] || $("find")).focus();
    }
  });

  $("app").hidden = false;
  route();
  if (!current && chats.length && !phone.matches) open(chats[0]);
  if (!chats.length) $("none").textContent = "There are no chats in this export.";
});
