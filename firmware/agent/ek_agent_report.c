/* What the agent says about itself: REPORTED on change and every heartbeat, TELEMETRY now and then.
 */
#include "ek_agent.h"
#include "ek_port.h"

#define AGAIN_MS 2000U
#define TELEMETRY_MS 60000U
#define PROGRESS_MS 2000U

static const uint8_t kernel_set[8] = EK_KERNEL_SET_HASH_BYTES;

static ek_task_state task_state(ek_learn_phase phase) {
    switch (phase) {
    case EK_LEARN_FETCH:
        return EK_TASK_FETCHING;
    case EK_LEARN_FEATURES:
    case EK_LEARN_TRAIN:
    case EK_LEARN_SECURE:
        return EK_TASK_TRAINING;
    case EK_LEARN_READY:
        return EK_TASK_READY;
    case EK_LEARN_REFUSED:
        return EK_TASK_REFUSED;
    case EK_LEARN_IDLE:
    default:
        return EK_TASK_IDLE;
    }
}

static void fill_task(const ek_agent_learn *learn, ek_task_report *report) {
    const bool ready = learn->phase == EK_LEARN_READY;
    const bool any = learn->phase != EK_LEARN_IDLE;
    report->run = any ? learn->task.run : 0U;
    report->round = any ? learn->task.round : 0U;
    report->state = task_state(learn->phase);
    report->object = ready ? ek_object_id(learn->update_digest) : 0U;
    report->bytes = ready ? learn->update_bytes : 0U;
    report->digest = ready ? learn->update_digest : NULL;
    report->phase = any ? learn->task.phase : 0U;
    report->samples = any && report->phase == 0U ? learn->samples : 0U;
    report->status = learn->status;
}

static void fill(const ek_agent *agent, uint64_t now_ms, ek_reported *reported) {
    const ek_state *state = &agent->state;
    const ek_agent_update *update = &agent->update;
    const ek_slot_record *slot = agent->has_image ? &state->slots[state->active] : NULL;
    reported->boot = state->boot;
    reported->desired_version = agent->report.desired_version;
    reported->board = EK_BOARD_NAME;
    reported->firmware = EK_FIRMWARE_VERSION;
    reported->kernel_set = kernel_set;
    reported->active_image = slot == NULL ? NULL : slot->image;
    reported->counter = slot == NULL ? 0U : slot->counter;
    reported->update.state = update->state;
    reported->update.image = update->has_image ? update->image : NULL;
    reported->update.bytes_done =
        update->state == EK_UPDATE_DOWNLOADING ? update->install.done : 0U;
    reported->update.status = update->status;
    reported->update.counter = update->has_image ? update->counter : 0U;
    reported->free_ram_bytes =
        (uint32_t)(EK_ARENA_BYTES - (agent->has_image ? ek_image_arena_bytes(&agent->image) : 0U));
    reported->free_slot_bytes = (uint32_t)ek_slot_capacity(state->active == 0U ? 1U : 0U);
    fill_task(&agent->learn, &reported->task);
    reported->uptime_s = (uint32_t)(now_ms / 1000U);
    reported->head_hash = agent->has_head_hash ? agent->head_hash : NULL;
    reported->sensors = EK_BOARD_SENSORS;
    reported->battery_mv = ek_port_battery_mv();
    reported->skills = "codecs,secure";
}

static void send_telemetry(ek_agent *agent, uint64_t now_ms) {
    const ek_telemetry telemetry = {now_ms, agent->inferences, agent->link.bytes_in,
                                    agent->link.bytes_out, agent->link.refused};
    size_t n = 0;
    if (ek_telemetry_write(&telemetry, ek_agent_content(agent), ek_agent_content_bytes(), &n) ==
        EK_OK) {
        (void)ek_agent_send(agent, EK_FRAME_TELEMETRY, n); /* the next one follows */
    }
}

static bool is_due(ek_agent *agent, uint64_t now_ms) {
    ek_agent_report *report = &agent->report;
    if (agent->update.state == EK_UPDATE_DOWNLOADING &&
        agent->update.reported_bytes != agent->update.install.done &&
        now_ms + report->heartbeat_ms >= report->next_ms + PROGRESS_MS) {
        return true;
    }
    if (report->due) {
        report->due = false;
        report->again_ms = now_ms + AGAIN_MS;
        return true;
    }
    if (report->again_ms != 0U && now_ms >= report->again_ms) {
        report->again_ms = 0;
        return true;
    }
    return now_ms >= report->next_ms;
}

void ek_report_step(ek_agent *agent, uint64_t now_ms) {
    ek_reported reported;
    size_t n = 0;
    if (now_ms >= agent->report.next_telemetry_ms) {
        agent->report.next_telemetry_ms = now_ms + TELEMETRY_MS;
        send_telemetry(agent, now_ms);
    }
    if (!is_due(agent, now_ms)) {
        return;
    }
    agent->report.next_ms = now_ms + agent->report.heartbeat_ms;
    agent->update.reported_bytes = agent->update.install.done;
    fill(agent, now_ms, &reported);
    if (ek_reported_write(&reported, ek_agent_content(agent), ek_agent_content_bytes(), &n) ==
        EK_OK) {
        (void)ek_agent_send(agent, EK_FRAME_REPORTED, n); /* the heartbeat sends it again */
    }
}
