// What is asked of the service. Addresses are relative, so that the studio also works below a path of another site.

/** An answer that is an error: `message` says what was found and what to do. */
export class Problem extends Error {
  constructor(status, message, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

let askForToken = () => Promise.reject(new Problem(401, "This studio asks for its token."));

/** Names what is called when the service asks for its token; it resolves when there is a session. */
export function onTokenWanted(ask) {
  askForToken = ask;
}

const GONE = "The studio does not answer; is it still running?";

async function admitted(request) {
  try {
    return await request();
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    await askForToken();
    return request();
  }
}

async function checked(response) {
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw new Problem(response.status, said.detail ?? `The studio answered ${response.status}.`, response.headers.get("Retry-After"));
}

function ask(path, options) {
  return fetch(path, options).then(checked, (error) => {
    throw error.name === "AbortError" ? error : new Problem(0, GONE);
  });
}

const withQuery = (path, query) => {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
};

/** The JSON at a path. */
export function get(path, query = {}) {
  return admitted(() => ask(withQuery(path, query)).then((response) => response.json()));
}

/** Trades the token for a session; raises a `Problem` when it is wrong. */
export async function openSession(token) {
  const headers = { "Content-Type": "application/json" };
  await ask("api/session", { method: "POST", headers, body: JSON.stringify({ token }) });
}

/** Sends a form and gives the answer as a Blob; `progress` is told the share of it that has been sent. */
export function send(path, fields, { progress = () => {}, signal } = {}) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined && value !== null) form.append(name, value);
  return admitted(() => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = "blob";
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.upload.onload = () => progress(1);
    request.onerror = () => reject(new Problem(0, GONE));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    request.onload = async () => {
      if (request.status < 300) return resolve(request.response);
      const said = await request.response.text().then(JSON.parse).catch(() => ({}));
      const message = said.detail ?? `The studio answered ${request.status}.`;
      reject(new Problem(request.status, message, request.getResponseHeader("Retry-After")));
    };
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  }));
}

/** The lines of JSON at a path, as they come. */
export async function* lines(path, query, signal) {
  const response = await admitted(() => ask(withQuery(path, query), { signal }));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
}

/** Where the picture of an image is. */
export const pictureOf = (id, size) => `api/photos/${encodeURIComponent(id)}/picture?size=${size}`;
