// The page as a whole: its views, its colours, its token.

import { get, onTokenWanted, openSession } from "./api.js";
import { BrowseView } from "./browse.js";
import { $, alarm, make } from "./elements.js";
import { GroundView } from "./ground.js";
import { SearchView } from "./search.js";

const VIEWS = ["ground", "search", "browse"];
const THEMES = { auto: "as the system", light: "light", dark: "dark" };
const views = {};

function show(name, { focus = false } = {}) {
  for (const view of VIEWS) {
    const tab = $(`tab-${view}`);
    const chosen = view === name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) tab.focus();
    $(`view-${view}`).hidden = !chosen;
  }
  if (location.hash.slice(1) !== name) history.replaceState(null, "", `#${name}`);
  views[name]?.seen?.();
}

function listenToTabs() {
  for (const [place, name] of VIEWS.entries()) {
    const tab = $(`tab-${name}`);
    tab.onclick = () => show(name);
    tab.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) show(VIEWS[(place + step + VIEWS.length) % VIEWS.length], { focus: true });
    };
  }
  const fromAddress = () => show(VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "ground");
  addEventListener("hashchange", fromAddress);
  $("main").addEventListener("wanted", (event) => show(event.detail));
  fromAddress();
}

function listenToTheme() {
  const kept = (() => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // a browser that keeps nothing
    }
  })();
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    $("theme").setAttribute("aria-label", `Colours: ${THEMES[theme]}`);
    $("theme").title = `Colours: ${THEMES[theme]}`;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // The choice then lasts as long as the page.
    }
  };
  apply(kept in THEMES ? kept : "auto");
  $("theme").onclick = () => {
    const names = Object.keys(THEMES);
    apply(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
  };
}

let asking = null;

// Several requests may find at once that they need a session; they are asked for the token together.
function askForToken() {
  asking ??= new Promise((resolve) => {
    const gate = $("gate");
    gate.oncancel = (event) => event.preventDefault();
    $("gate-form").onsubmit = async (event) => {
      event.preventDefault();
      alarm($("gate-alert"));
      try {
        await openSession($("token").value);
        gate.close();
        asking = null;
        resolve();
      } catch (problem) {
        alarm($("gate-alert"), problem.message);
        $("token").select();
      }
    };
    gate.showModal();
  });
  return asking;
}

async function start() {
  listenToTheme();
  onTokenWanted(askForToken);
  let facts;
  try {
    facts = await get("api/facts");
  } catch (problem) {
    alarm($("ground-alert"), problem.message, { label: "Try again", run: () => location.reload() });
    return;
  }
  $("run").replaceChildren(make("b", { textContent: facts.run.recipe }), ` ${facts.run.name}`);
  $("run").title = facts.run.trained_on ? `Trained on ${facts.run.trained_on}, no box` : "";
  views.ground = new GroundView(facts);
  const open = (photo, caption) => {
    show("ground");
    scrollTo({ top: 0 });
    views.ground.take(photo, caption);
  };
  views.search = new SearchView(facts, open);
  views.browse = new BrowseView(facts, open);
  listenToTabs();
  document.documentElement.dataset.ready = "yes";
}

start();
