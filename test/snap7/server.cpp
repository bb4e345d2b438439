// A controller made of Snap7's own server: what tests talk to when they want S7 as another project understands it.
//
// snap7-server PORT: DB10 of 256 bytes, DB20 of 64, merkers and inputs of 64, on 127.0.0.1. It prints "ready", then obeys
// lines on standard input: "run", "stop", "db NUMBER FROM HEX", "m FROM HEX". It ends when standard input does.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "snap7_libmain.h"

static unsigned char db10[256], db20[64], merkers[64], inputs[64];

static void put(unsigned char *area, unsigned size, unsigned from, const char *hex) {
  for (unsigned i = 0; hex[2 * i] && hex[2 * i + 1] && from + i < size; i++) {
    unsigned byte;
    if (sscanf(hex + 2 * i, "%2x", &byte) != 1) return;
    area[from + i] = (unsigned char)byte;
  }
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  uint16_t port = (uint16_t)atoi(argv[1]);
  S7Object server = Srv_Create();
  Srv_SetParam(server, p_u16_LocalPort, &port);
  Srv_RegisterArea(server, srvAreaDB, 10, db10, sizeof db10);
  Srv_RegisterArea(server, srvAreaDB, 20, db20, sizeof db20);
  Srv_RegisterArea(server, srvAreaMK, 0, merkers, sizeof merkers);
  Srv_RegisterArea(server, srvAreaPE, 0, inputs, sizeof inputs);
  int failed = Srv_StartTo(server, "127.0.0.1");
  if (failed) {
    printf("failed %d\n", failed);
    return 1;
  }
  Srv_SetCpuStatus(server, S7CpuStatusRun);
  puts("ready");
  fflush(stdout);
  char line[1024], hex[900];
  unsigned number, from;
  while (fgets(line, sizeof line, stdin)) {
    if (!strncmp(line, "run", 3)) Srv_SetCpuStatus(server, S7CpuStatusRun);
    else if (!strncmp(line, "stop", 4)) Srv_SetCpuStatus(server, S7CpuStatusStop);
    else if (sscanf(line, "db %u %u %899s", &number, &from, hex) == 3)
      put(number == 10 ? db10 : db20, number == 10 ? sizeof db10 : sizeof db20, from, hex);
    else if (sscanf(line, "m %u %899s", &from, hex) == 2) put(merkers, sizeof merkers, from, hex);
    puts("done");
    fflush(stdout);
  }
  return 0;
}
