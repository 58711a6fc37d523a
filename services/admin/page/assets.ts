/**
 * The files of the page: its shell at `/`, its modules and styles below `/assets`. They are the same for everybody and hold
 * no facts, so that they need no token; the page asks for one when it may not read. Read once, at the start.
 */
import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

const application = fileURLToPath(new URL("app/", import.meta.url));
const require = createRequire(import.meta.url);

const types: Record<string, string> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
};

interface Asset {
  body: Buffer;
  type: string;
  etag: string;
}

/** The directories below `/assets`, and what of them the page loads. */
function directories(): Record<string, { root: string; files: string[] }> {
  // In Node the package's main module is its build for servers, in a directory of its own.
  const litHtml = path.dirname(path.dirname(require.resolve("lit-html")));
  const uplot = path.join(path.dirname(require.resolve("uplot/package.json")), "dist");
  return {
    app: { root: application, files: globSync("**/*.{js,css}", { cwd: application }) },
    "lit-html": {
      root: litHtml,
      files: [
        "lit-html.js",
        "directive.js",
        "directive-helpers.js",
        "async-directive.js",
        "directives/ref.js",
        "directives/repeat.js",
      ],
    },
    uplot: { root: uplot, files: ["uPlot.esm.js", "uPlot.min.css"] },
  };
}

/**
 * What a browser may load and run for the page: our own files only (CSP Level 3). The import map stands in the shell, and
 * is named by its hash.
 */
export function pagePolicy(shell: string): string {
  const map = /<script type="importmap">([\s\S]*?)<\/script>/.exec(shell)?.[1] ?? "";
  const hash = createHash("sha256").update(map).digest("base64");
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${hash}'`,
    "style-src 'self'",
    "img-src data:",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

/** @throws Error when a file is missing: the installation is not whole */
export function mountPage(app: FastifyInstance): void {
  const shell = readAsset(path.join(application, "index.html"));
  const policy = pagePolicy(shell.body.toString("utf8"));
  const send = (asset: Asset, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    reply.headers({ etag: asset.etag, "cache-control": "no-cache", "content-security-policy": policy });
    if (request.headers["if-none-match"] === asset.etag) return reply.code(304).send();
    return reply.type(asset.type).send(asset.body);
  };
  const serve = (url: string, asset: Asset): void => {
    app.get(url, { config: { access: "open" } }, (request, reply) => send(asset, request, reply));
  };
  serve("/", shell);
  for (const [name, { root, files }] of Object.entries(directories())) {
    for (const file of files)
      serve(`/assets/${name}/${file.split(path.sep).join("/")}`, readAsset(path.join(root, file)));
  }
}

function readAsset(file: string): Asset {
  const body = readFileSync(file);
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
  return { body, type: types[path.extname(file)] ?? "application/octet-stream", etag };
}
