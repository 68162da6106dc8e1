/*
 * What a command that has been executed was about.
 */
#ifndef EMULATOR_SUBJECT_H
#define EMULATOR_SUBJECT_H

#include "emulator/command.h"

/* While the command still holds its key. */
struct emu_subject subject_of(const struct command *cmd);

#endif
