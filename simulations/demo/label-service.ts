/** Stands in for a label printer's program: it counts labels, says that it lives, and ends when asked. */
let labels = 0;
process.stdout.write(`label-service up, pid ${process.pid}\n`);
setInterval(() => {
  labels++;
  if (labels % 60 === 0) process.stdout.write(`${labels} labels printed\n`);
}, 1_000);
process.on('SIGTERM', () => process.exit(0));
