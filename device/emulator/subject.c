/*
 * The kind of key a command was about: of the key it holds, which is the one used or made; where it holds none, because
 * it failed before, what the request asks for.
 */
#include "emulator/subject.h"

static uint32_t rsa_kind(uint32_t bits)
{
    static const uint32_t kinds[] = {AZIHSM_KEY_RSA2K_PRIVATE, AZIHSM_KEY_RSA3K_PRIVATE, AZIHSM_KEY_RSA4K_PRIVATE};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (azihsm_key_kind_rsa_size(kinds[i]) * 8 == bits)
            return kinds[i];
    return 0;
}

struct emu_subject subject_of(const struct command *cmd)
{
    struct emu_subject subject = {0};

    if (!cmd->decoded)
        return subject;
    switch (cmd->hdr.op) {
    case AZIHSM_OP_RSA_UNWRAP: /* holds the unwrapping key until it has made the other */
        subject.kind = cmd->req.rsa_unwrap.key_class;
        return subject;
    case AZIHSM_OP_ECC_GENERATE_KEY_PAIR:
        subject.kind = engine_kind_of_curve(cmd->req.ecc_generate.curve);
        return subject;
    case AZIHSM_OP_RSA_GENERATE_KEY_PAIR:
        subject.kind = rsa_kind(cmd->req.rsa_generate.bits);
        return subject;
    case AZIHSM_OP_RSA_MOD_EXP:
        subject.decrypt = cmd->req.rsa_mod_exp.op_type == AZIHSM_RSA_DECRYPT;
        break;
    default:
        break;
    }
    if (cmd->hold != NULL && vault_key_engine(cmd->hold) != NULL)
        subject.kind = engine_key_kind(vault_key_engine(cmd->hold));
    return subject;
}
