// Requests to the service. Addresses are relative, so that the studio also works below a path of another site.

/** An error response: `message` says what was found and how to fix it. */
export class ApiError extends Error {
  constructor(status, message, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

let promptForToken = () => Promise.reject(new ApiError(401, "This studio requires its token."));

/** Sets the function that is called when the service requires its token. Its promise resolves when there is a session. */
export function setTokenPrompt(prompt) {
  promptForToken = prompt;
}

const NO_CONNECTION = "The studio does not answer; is it still running?";

async function withToken(request) {
  try {
    return await request();
  } catch (error) {
    if (error.status !== 401) throw error;
    await promptForToken();
    return request();
  }
}

async function checkStatus(response) {
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new ApiError(response.status, body.detail ?? `The studio answered with status ${response.status}.`, response.headers.get("Retry-After"));
}

function request(path, options) {
  return fetch(path, options).then(checkStatus, (error) => {
    throw error.name === "AbortError" ? error : new ApiError(0, NO_CONNECTION);
  });
}

const withQuery = (path, query) => {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
};

/** Requests the JSON at a path. */
export function getJson(path, query = {}) {
  return withToken(() => request(withQuery(path, query)).then((response) => response.json()));
}

/** Posts JSON to a path and returns the JSON of the response. */
export function sendJson(path, content) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) };
  return withToken(() => request(path, options).then((response) => response.json()));
}

/** Exchanges the token for a session cookie; throws an `ApiError` when the token is wrong. */
export async function openSession(token) {
  const headers = { "Content-Type": "application/json" };
  await request("api/session", { method: "POST", headers, body: JSON.stringify({ token }) });
}

/** Posts a form and returns the response as a Blob. `progress` is called with the fraction that has been uploaded. */
export function postForm(path, fields, { progress = () => {}, signal } = {}) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined && value !== null) form.append(name, value);
  return withToken(() => new Promise((resolve, reject) => {
    const upload = new XMLHttpRequest();
    upload.open("POST", path);
    upload.responseType = "blob";
    upload.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    upload.upload.onload = () => progress(1);
    upload.onerror = () => reject(new ApiError(0, NO_CONNECTION));
    upload.onabort = () => reject(new DOMException("", "AbortError"));
    upload.onload = async () => {
      if (upload.status < 300) return resolve(upload.response);
      const body = await upload.response.text().then(JSON.parse).catch(() => ({}));
      const message = body.detail ?? `The studio answered with status ${upload.status}.`;
      reject(new ApiError(upload.status, message, upload.getResponseHeader("Retry-After")));
    };
    signal?.addEventListener("abort", () => upload.abort(), { once: true });
    upload.send(form);
  }));
}

/** Yields the lines of JSON at a path as they arrive. */
export async function* jsonLines(path, query, signal) {
  const response = await withToken(() => request(withQuery(path, query), { signal }));
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

/** The address of an image as a JPEG, `thumbnail` or `full`. */
export const pictureUrl = (id, size) => `api/photos/${encodeURIComponent(id)}/picture?size=${size}`;
