// Finding and creating elements of the page.

export const $ = (id) => document.getElementById(id);

/** Creates an element with properties, attributes (names with a dash, `role`) and children. Strings become text, not HTML. */
export function create(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Creates an SVG element with attributes. */
export function createSvg(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Sets the colour of a phrase and its text colour as CSS variables of an element, and returns the element. */
export function setColours(element, [colour, textColour]) {
  element.style.setProperty("--colour", colour);
  element.style.setProperty("--text-on-colour", textColour);
  return element;
}

/** Shows a message with an optional button `{ label, run }` in an alert; an empty message hides the alert. */
export function showAlert(alert, message = "", action = null) {
  alert.replaceChildren(message);
  if (action) alert.append(" ", create("button", { type: "button", className: "link", textContent: action.label, onclick: action.run }));
  alert.hidden = !message;
}

export const formatNumber = (value) => value.toLocaleString("en");

/** “1 box”, “2 boxes”. */
export const formatCount = (n, one, many = `${one}s`) => `${formatNumber(n)} ${n === 1 ? one : many}`;
