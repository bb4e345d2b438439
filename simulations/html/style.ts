/** Colours hold apart for the colour-blind, in light and dark; every state also has a shape or a word of its own. */
export const style = `
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#16202b;--soft:#5a6878;--line:#dde3ea;--grid:#e9edf2;
--up:#cfe5dc;--alive:#2a8a67;--suspect:#e0a020;--dead:#c23b3b;--down:#5a6878;--frozen:#4f7fc4;--good:#1d7a55;--bad:#b3261e;
--d0:#3b6fb6;--d1:#8a5db3;--d2:#1f8a8a;--d3:#b8762a;--d4:#6a7f2c;--d5:#a9497d;--d6:#4e6070;--bar:#3b6fb6;--onbar:#fff}
@media(prefers-color-scheme:dark){:root{--page:#11161c;--card:#19212a;--ink:#e6ecf2;--soft:#94a3b3;--line:#2b3641;--grid:#242e38;
--up:#1d3d34;--alive:#46b48c;--suspect:#e9b44c;--dead:#ea6b66;--down:#94a3b3;--frozen:#7fa9e6;--good:#5cc79c;--bad:#ff8a80;
--d0:#6b9ee3;--d1:#b48ada;--d2:#4fb9b9;--d3:#dca15a;--d4:#a3ba58;--d5:#d77faa;--d6:#8ba0b3;--bar:#6b9ee3;--onbar:#10161c}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:1240px;margin:0 auto;padding:28px 20px 60px}
header{display:flex;flex-wrap:wrap;gap:6px 18px;align-items:baseline;margin-bottom:4px}
h1{font-size:26px;line-height:1.2;margin:0;letter-spacing:-.01em}
h2{font-size:17px;margin:0 0 4px}
p{margin:0 0 10px}.soft{color:var(--soft)}
.verdict{font-weight:600;padding:3px 12px;border-radius:99px;border:1.5px solid}
.verdict.good{color:var(--good)}.verdict.bad{color:var(--bad)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin-top:16px;min-width:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:12px;margin-top:16px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.tile b{display:block;font-size:24px;line-height:1.25;font-variant-numeric:tabular-nums;font-weight:600}
.tile span{color:var(--soft);font-size:13.5px;display:block}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:0 16px;align-items:start}.pair.even{align-items:stretch}.pair section{margin-top:16px}
@media(max-width:860px){.pair{grid-template-columns:1fr}}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--ink);font-size:12px}svg .axis{fill:var(--soft);font-size:11.5px}svg .name{font-size:12px}
.scroll{overflow-x:auto}
.key{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13.5px;color:var(--soft);margin:2px 0 10px}
.key i{display:inline-block;width:14px;height:12px;border-radius:2px;margin-right:6px;vertical-align:-1px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:4px 12px 4px 0;border-bottom:1px solid var(--grid);vertical-align:top}
th{color:var(--soft);font-weight:500}td.n,th.n{text-align:right}tr:last-child td,tr:last-child th{border-bottom:0}table.timed th{white-space:nowrap;width:4.5em}
code,pre{font:13.5px/1.5 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
pre{background:var(--page);border:1px solid var(--line);border-radius:8px;padding:10px 14px;overflow-x:auto;margin:8px 0 0}
.wrong{border-color:var(--bad)}.wrong li{margin-bottom:6px}.wrong ul{margin:6px 0 0;padding-left:20px}
details summary{cursor:pointer;color:var(--soft)}details summary:focus-visible{outline:2px solid var(--bar);outline-offset:3px}
footer{color:var(--soft);font-size:13.5px;margin-top:22px}
@media print{section,.tile{break-inside:avoid}body{background:#fff}}
`;
