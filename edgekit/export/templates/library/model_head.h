
/* The layer that is trained on the device: probabilities = softmax(weights * x + bias), where x are
 * the int8 features that the model's last layer reads. Float32; equal steps give equal bits on
 * every core. */
#define ${macro}_HEAD_CLASSES ${head_classes}u
#define ${macro}_HEAD_FEATURES ${head_features}u
#define ${macro}_HEAD_RATE $head_rate

typedef struct ${prefix}_head {
    float weights[${macro}_HEAD_CLASSES * ${macro}_HEAD_FEATURES]; /* [classes, features] */
    float bias[${macro}_HEAD_CLASSES];
    float scratch[${macro}_HEAD_CLASSES]; /* of one step */
} ${prefix}_head;

/* Fills the head with what the model was made with. */
void ${prefix}_head_start(${prefix}_head *head);

/* Runs the model up to the head: features of ${macro}_HEAD_FEATURES bytes; else as ${prefix}_run.
 */
ek_status ${prefix}_features(const int8_t *input, int8_t *features, uint8_t *arena);

/* Probabilities of ${macro}_HEAD_CLASSES classes. EK_ERR_NOT_FINITE. */
ek_status ${prefix}_head_predict(${prefix}_head *head, const int8_t *features,
                                 float *probabilities);

/* One step of gradient descent on one sample: w -= rate * (gradient + decay * w). loss receives the
 * cross entropy before the step. EK_ERR_LABEL, EK_ERR_NOT_FINITE: the head is unchanged. */
ek_status ${prefix}_head_train(${prefix}_head *head, const int8_t *features, uint32_t label,
                               float rate, float decay, float *loss);
