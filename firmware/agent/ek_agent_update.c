/* Changing the model: judge the release, pull block list and image, prove all, switch or refuse. */
#include <string.h>

#include "ek_agent.h"
#include "ek_port.h"

#define DEADLINE_BASE_MS 30000U
#define DEADLINE_BYTES_PER_MS 4U

static void drop_pull(ek_agent *agent) {
    if (agent->pull_owner == EK_PULL_LIST || agent->pull_owner == EK_PULL_IMAGE) {
        agent->pull_owner = EK_PULL_NOBODY;
    }
}

static void set_state(ek_agent *agent, ek_update_state state, ek_status status) {
    agent->update.state = state;
    agent->update.status = status;
    agent->report.due = true;
}

static void name_release(ek_agent *agent, const ek_manifest *manifest) {
    agent->update.has_image = true;
    memcpy(agent->update.image, manifest->image, 32);
    agent->update.counter = manifest->counter;
}

static void refuse(ek_agent *agent, ek_status status) {
    drop_pull(agent);
    set_state(agent, EK_UPDATE_REFUSED, status);
    ek_agent_log_status(agent, "release refused", status);
}

/* Refuses for good what was proven bad after its download, so that it is not pulled again. */
static void refuse_for_good(ek_agent *agent, ek_status status) {
    ek_state *state = &agent->state;
    state->has_refused = true;
    memcpy(state->refused_image, agent->update.image, 32);
    state->refused_counter = agent->update.counter;
    state->refused_status = status;
    refuse(agent, status);
    if (ek_state_save(state) != EK_OK) {
        ek_port_log("refusal could not be kept");
    }
}

static bool is_running(const ek_agent_update *update) {
    return update->state == EK_UPDATE_DOWNLOADING || update->state == EK_UPDATE_VERIFYING;
}

/* The running image under a new release: nothing to pull, only the counter rises. */
static void raise_counter(ek_agent *agent, const ek_manifest *manifest, uint64_t time_s) {
    ek_slot_record *slot = &agent->state.slots[agent->state.active];
    ek_status status = EK_OK;
    if (slot->counter != manifest->counter) {
        status = ek_release_check(&agent->state, manifest, time_s);
        if (status == EK_OK) {
            slot->counter = manifest->counter;
            agent->state.highest = manifest->counter;
            status = ek_state_save(&agent->state);
        }
    }
    if (status == EK_OK) {
        drop_pull(agent);
        set_state(agent, EK_UPDATE_INSTALLED, EK_OK);
    } else {
        refuse(agent, status);
    }
}

static void start(ek_agent *agent, const ek_manifest *manifest) {
    ek_agent_update *update = &agent->update;
    ek_status status = ek_install_start(&update->install, &agent->state, manifest);
    if (status == EK_OK) {
        memcpy(update->list_digest, manifest->list_digest, 32);
        status = ek_agent_pull(agent, EK_PULL_LIST, ek_object_id(update->list_digest),
                               ek_install_list_bytes(&update->install), 0);
    }
    if (status != EK_OK) {
        refuse(agent, status);
        return;
    }
    update->deadline_ms =
        ek_port_now_ms() + DEADLINE_BASE_MS + manifest->image_bytes / DEADLINE_BYTES_PER_MS;
    set_state(agent, EK_UPDATE_DOWNLOADING, EK_OK);
    ek_line line;
    ek_line_start(&line, "release ");
    ek_line_number(&line, manifest->counter);
    ek_line_text(&line, " image ");
    ek_line_hex(&line, manifest->image, 4);
    ek_line_text(&line, " bytes ");
    ek_line_number(&line, manifest->image_bytes);
    ek_agent_log(agent, 1, &line);
}

void ek_update_desired(ek_agent *agent, const ek_desired *desired) {
    const ek_state *state = &agent->state;
    ek_agent_update *update = &agent->update;
    ek_manifest manifest;
    if (!desired->has_model) {
        drop_pull(agent);
        update->has_image = false;
        set_state(agent, EK_UPDATE_IDLE, EK_OK);
        return;
    }
    ek_status status = ek_release_open(desired->manifest, desired->signature,
                                       agent->provision.release_key, &manifest);
    if (status != EK_OK) {
        update->has_image = false;
        refuse(agent, status);
        return;
    }
    if (is_running(update) && memcmp(update->image, manifest.image, 32) == 0 &&
        update->counter == manifest.counter) {
        return; /* already at it */
    }
    name_release(agent, &manifest);
    if (agent->has_image && memcmp(state->slots[state->active].image, manifest.image, 32) == 0) {
        raise_counter(agent, &manifest, desired->time_s);
        return;
    }
    if (state->has_refused && memcmp(state->refused_image, manifest.image, 32) == 0 &&
        state->refused_counter == manifest.counter) {
        drop_pull(agent);
        set_state(agent, EK_UPDATE_REFUSED, state->refused_status);
        return;
    }
    status = ek_release_check(state, &manifest, desired->time_s);
    if (status == EK_OK) {
        start(agent, &manifest);
    } else {
        refuse(agent, status);
    }
}

static void image_next(ek_agent *agent) {
    ek_agent_update *update = &agent->update;
    ek_install *install = &update->install;
    if (install->done == install->image_bytes) {
        agent->pull_owner = EK_PULL_NOBODY;
        set_state(agent, EK_UPDATE_VERIFYING, EK_OK);
    }
}

static void list_done(ek_agent *agent) {
    ek_agent_update *update = &agent->update;
    ek_install *install = &update->install;
    ek_status status = ek_install_list(install, update->list_digest);
    if (status == EK_OK) {
        status = ek_agent_pull(agent, EK_PULL_IMAGE, ek_object_id(install->image),
                               install->image_bytes, install->done);
    }
    if (status == EK_OK) {
        image_next(agent);
    } else {
        refuse_for_good(agent, status);
    }
}

void ek_update_chunk(ek_agent *agent, const uint8_t *bytes, uint32_t n) {
    ek_install *install = &agent->update.install;
    if (agent->pull_owner == EK_PULL_LIST) {
        memcpy(install->list + agent->pull.base, bytes, n); /* at most EK_BLOCKS_MAX hashes */
        ek_pull_take(&agent->pull);
        if (ek_pull_done(&agent->pull)) {
            list_done(agent);
        }
        return;
    }
    ek_status status = ek_install_block(install, bytes, n);
    if (status == EK_ERR_FLASH) {
        refuse(agent, status); /* the next desired document may try again */
        return;
    }
    if (status != EK_OK) {
        refuse_for_good(agent, status);
        return;
    }
    ek_pull_take(&agent->pull);
    image_next(agent);
}

static void verify(ek_agent *agent) {
    ek_agent_update *update = &agent->update;
    ek_status status =
        ek_install_finish(&update->install, &agent->state, ek_port_arena(), &agent->image);
    if (status == EK_OK) {
        agent->has_image = true;
        ek_learn_image_changed(agent);
        set_state(agent, EK_UPDATE_INSTALLED, EK_OK);
        ek_agent_log_status(agent, "release installed", EK_OK);
    } else if (status == EK_ERR_FLASH) {
        refuse(agent, status);
    } else {
        refuse_for_good(agent, status);
    }
}

void ek_update_step(ek_agent *agent, uint64_t now_ms) {
    ek_agent_update *update = &agent->update;
    const bool reported = !agent->report.due || agent->link.phase != EK_LINK_ONLINE;
    if (update->state == EK_UPDATE_VERIFYING && reported) {
        verify(agent); /* one step after it was reported, since it takes its time */
    } else if (update->state == EK_UPDATE_DOWNLOADING && update->status == EK_OK &&
               now_ms >= update->deadline_ms) {
        set_state(agent, EK_UPDATE_DOWNLOADING, EK_ERR_TIMEOUT); /* it goes on trying */
    }
}
