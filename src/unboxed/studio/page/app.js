// The page as a whole: its views, its colour theme and the dialog for its token.

import { getJson, openSession, pictureUrl, sendJson, setTokenPrompt } from "./api.js";
import { BrowseView } from "./browse.js";
import { CorrectView } from "./correct.js";
import { $, create, showAlert } from "./elements.js";
import { GroundView } from "./ground.js";
import { SearchView } from "./search.js";

const VIEWS = ["ground", "search", "browse", "correct"];
const THEMES = { auto: "as the system", light: "light", dark: "dark" };
const views = {};

/** The view that the address names, and what follows: `#ground?image=…&caption=…`. */
function shownInAddress() {
  const [name, ...query] = location.hash.slice(1).split("?");
  return { name: VIEWS.includes(name) ? name : "ground", query: query.join("?") };
}

function showView(name, { focus = false } = {}) {
  for (const view of VIEWS) {
    const tab = $(`tab-${view}`);
    const chosen = view === name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) tab.focus();
    $(`view-${view}`).hidden = !chosen;
  }
  if (shownInAddress().name !== name) history.replaceState(null, "", `#${name}`);
  views[name]?.onShown?.();
}

function listenToTabs() {
  for (const [index, name] of VIEWS.entries()) {
    const tab = $(`tab-${name}`);
    tab.onclick = () => showView(name);
    tab.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) showView(VIEWS[(index + step + VIEWS.length) % VIEWS.length], { focus: true });
    };
  }
  const showFromAddress = () => {
    const { name, query } = shownInAddress();
    showView(name);
    if (name === "ground" && query) views.ground.openLink(query);
  };
  addEventListener("hashchange", showFromAddress);
  $("main").addEventListener("showview", (event) => showView(event.detail));
  showFromAddress();
}

function savedTheme() {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null; // the browser does not allow storage
  }
}

function listenToTheme() {
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    $("theme").setAttribute("aria-label", `Colours: ${THEMES[theme]}`);
    $("theme").title = `Colours: ${THEMES[theme]}`;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // Without storage the theme lasts until the page is closed.
    }
  };
  const saved = savedTheme();
  apply(saved in THEMES ? saved : "auto");
  $("theme").onclick = () => {
    const names = Object.keys(THEMES);
    apply(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
  };
}

let tokenPrompt = null;

// Several requests may need a session at the same time; they share one dialog.
function promptForToken() {
  tokenPrompt ??= new Promise((resolve) => {
    const dialog = $("token-dialog");
    dialog.oncancel = (event) => event.preventDefault();
    $("token-form").onsubmit = async (event) => {
      event.preventDefault();
      showAlert($("token-alert"));
      try {
        await openSession($("token").value);
        dialog.close();
        tokenPrompt = null;
        resolve();
      } catch (error) {
        showAlert($("token-alert"), error.message);
        $("token").select();
      }
    };
    dialog.showModal();
  });
  return tokenPrompt;
}

// The labels to correct, which the service keeps.
const LABELS = {
  list: (start, count) => getJson("api/labels", { start, count }),
  image: (id) => getJson(`api/labels/${encodeURIComponent(id)}`),
  change: ({ photo, changes }, change) => sendJson(`api/labels/${encodeURIComponent(photo.id)}`, { ...change, changes }),
  picture: (id) => pictureUrl(id, "full"),
};

function correctedFiles() {
  const link = (form, textContent) => create("a", { className: "quiet little", href: `api/corrected/${form}`, download: "", textContent });
  return create("span", {}, link("coco", "COCO"), " ", link("csv", "CSV"));
}

async function start() {
  listenToTheme();
  setTokenPrompt(promptForToken);
  let info;
  try {
    info = await getJson("api/facts");
  } catch (error) {
    showAlert($("ground-alert"), error.message, { label: "Try again", run: () => location.reload() });
    return;
  }
  $("run").replaceChildren(create("b", { textContent: info.run.recipe }), ` ${info.run.name}`);
  $("run").title = info.run.trained_on ? `Trained on ${info.run.trained_on}, without boxes` : "";
  views.ground = new GroundView(info);
  const open = (image, caption) => {
    showView("ground");
    scrollTo({ top: 0 });
    views.ground.setImage(image, caption);
  };
  views.search = new SearchView(info, open);
  views.browse = new BrowseView(info, open);
  $("no-labels").hidden = info.labels !== null;
  if (info.labels !== null) views.correct = new CorrectView($("correct"), LABELS, info.palette, create("span", {}, "Download all"), correctedFiles());
  listenToTabs();
  document.documentElement.dataset.ready = "yes";
}

start();
