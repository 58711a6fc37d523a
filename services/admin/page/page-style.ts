/** The style sheet of the start page, light and dark. */

export const pageStyle = `
:root {
  color-scheme: light dark;
  --ground: light-dark(#f6f7f9, #12161c);
  --panel: light-dark(#ffffff, #1a2029);
  --line: light-dark(#dfe3e8, #2b3440);
  --text: light-dark(#1b2430, #e4e9f0);
  --quiet: light-dark(#5a6675, #97a4b4);
  --accent: light-dark(#0b5cad, #7cb8ff);
  --good: light-dark(#1a7a43, #5fd08f);
  --bad: light-dark(#b3261e, #ff8a80);
  --wait: light-dark(#8a5a00, #f0b95b);
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main, header, footer { max-width: 72rem; margin: 0 auto; padding: 0 1.5rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1.5rem; padding-top: 2rem; }
h1 { font-size: 1.5rem; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1rem; margin: 0; }
a { color: var(--accent); text-underline-offset: .15em; }
a:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 2px; }
nav ul { display: flex; flex-wrap: wrap; gap: 1.25rem; list-style: none; margin: 0; padding: 0; }
nav { margin-left: auto; }
.state { font-weight: 600; }
.ready { color: var(--good); }
.unready { color: var(--bad); }
.quiet { color: var(--quiet); }
section { margin: 1.5rem 0; background: var(--panel); border: 1px solid var(--line); border-radius: 10px; }
section > h2, section > p, section > ul { padding: .85rem 1.25rem; margin: 0; }
section > h2 + p { padding-top: 0; }
section > ul { padding-left: 2.5rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem; margin: 1.5rem 0; padding: 0; }
.tiles div { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; padding: .85rem 1.25rem; }
.tiles dt { color: var(--quiet); font-size: .85rem; }
.tiles dd { margin: 0; font-size: 1.6rem; line-height: 1.3; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles dd small { display: block; font-size: .85rem; font-weight: 400; color: var(--quiet); }
.scroll { overflow-x: auto; border-top: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .5rem .75rem; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td, tr:last-child th { border-bottom: 0; }
th:first-child, td:first-child { padding-left: 1.25rem; }
th:last-child, td:last-child { padding-right: 1.25rem; }
thead th { font-size: .8rem; font-weight: 600; color: var(--quiet); white-space: nowrap; }
tbody th { font-weight: 500; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .85rem; white-space: nowrap; }
.address { overflow-wrap: anywhere; min-width: 11rem; }
.reason { overflow-wrap: anywhere; min-width: 18rem; width: 38%; }
.zero { color: var(--quiet); }
.deferred { color: var(--wait); }
footer { color: var(--quiet); font-size: .85rem; padding-bottom: 2rem; }
`;
