/* Floor 2: Gaussian diffusion (gaussian_diffusion.py, respace.py, losses.py, resample.py of the authors), as pure
 * functions over arrays in double; only what goes in and out of a network is float32. No network, no MPI. Image
 * functions work on one image of `pixels` positions x `channels`, channels last. A network with learned variance gives
 * [pixels][2 channels]: the mean part first, then the variance part. */
#ifndef IDDPM_DIFFUSION_H
#define IDDPM_DIFFUSION_H

#include "iddpm/base.h"

enum mean_type { MEAN_PREVIOUS_X, MEAN_START_X, MEAN_EPSILON };
enum var_type { VAR_LEARNED, VAR_FIXED_SMALL, VAR_FIXED_LARGE, VAR_LEARNED_RANGE };
enum loss_type { LOSS_MSE, LOSS_RESCALED_MSE, LOSS_KL, LOSS_RESCALED_KL };

/* ---- schedules and respacing (schedule.c, respace.c) ------------------------------------------------------------- */

struct diffusion_options {
    int steps;
    const char *noise_schedule;     /* "linear" or "cosine" */
    const char *timestep_respacing; /* "" or NULL: all steps; "250"; "10,15,20"; "ddim25" */
    enum mean_type mean;
    enum var_type var;
    enum loss_type loss;
    double min_snr_gamma; /* 0: squared errors count alike at all timesteps */
    bool rescale_timesteps;
};

/* Every table has num_timesteps entries; names are the authors'. The tables are one block that starts at betas. */
struct diffusion {
    enum mean_type mean;
    enum var_type var;
    enum loss_type loss;
    bool rescale_timesteps;
    int num_timesteps;      /* after respacing */
    int original_num_steps; /* before */
    int *timestep_map;      /* [num_timesteps] kept steps */
    double *betas, *alphas_cumprod, *alphas_cumprod_prev, *alphas_cumprod_next;
    double *sqrt_alphas_cumprod, *sqrt_one_minus_alphas_cumprod, *log_one_minus_alphas_cumprod;
    double *sqrt_recip_alphas_cumprod, *sqrt_recipm1_alphas_cumprod;
    double *posterior_variance, *posterior_log_variance_clipped, *posterior_mean_coef1, *posterior_mean_coef2;
    double *log_betas, *fixed_log_variance; /* the latter of VAR_FIXED_LARGE or _SMALL, NULL when it is learned */
    /* With min_snr_gamma, else NULL: of the squared error in the loss. With SNR = abar / (1 - abar) they are
     * min(SNR, gamma) / SNR for epsilon and min(SNR, gamma) for x_0 (Hang et al. 2023). */
    double *mse_weights;
};
/* IDDPM_USAGE for a schedule without that name, a respacing that is impossible, or fewer than two timesteps (the
 * posterior's variance at t = 0 is clipped to that at t = 1); for min_snr_gamma with a loss that has no squared error,
 * or one of the previous x. */
enum iddpm_status diffusion_create(struct diffusion **out, const struct diffusion_options *options);
void diffusion_destroy(struct diffusion *diffusion);
/* What the network sees at timestep t: timestep_map[t], times 1000 / original_num_steps with rescale_timesteps. That
 * product is rounded to float32 as the authors' is, so that the embedding of every t is theirs. */
double diffusion_model_timestep(const struct diffusion *diffusion, int t);
/* Channels that the network must give for `channels` image channels: twice as many with a learned variance. */
int diffusion_output_channels(const struct diffusion *diffusion, int channels);
/* The authors' space_timesteps: kept[steps] set to 1 for kept steps, else 0, and their *count; IDDPM_USAGE with the
 * reason when impossible. respacing "" or NULL keeps all. */
enum iddpm_status space_timesteps(int steps, const char *respacing, uint8_t *kept, int *count);

/* ---- processes (process.c) --------------------------------------------------------------------------------------- */

/* Equation 9 of the paper: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise; n elements. */
void q_sample(const struct diffusion *diffusion, int t, size_t n, const double *x_start, const double *noise,
              double *x_t);

/* p(x_{t-1} | x_t): any of the outputs may be NULL; each is [pixels][channels]. */
struct p_mean_variance {
    double *mean, *log_variance, *pred_xstart;
};
void p_mean_variance(const struct diffusion *diffusion, int t, int pixels, int channels, const double *x_t,
                     const float *model_output, bool clip_denoised, struct p_mean_variance *out);
/* The steps below work element by element: `sample` may be x_t itself. pred_xstart may be NULL.
 * Ancestral step; noise is used only for t > 0. */
void p_sample(const struct diffusion *diffusion, int t, int pixels, int channels, const double *x_t,
              const float *model_output, bool clip_denoised, const double *noise, double *sample, double *pred_xstart);
/* DDIM (Song et al. 2020, eq. 12), eta in [0, 1]; noise may be NULL for eta = 0. */
void ddim_sample(const struct diffusion *diffusion, int t, int pixels, int channels, const double *x_t,
                 const float *model_output, bool clip_denoised, double eta, const double *noise, double *sample,
                 double *pred_xstart);
/* From x_t to x_{t+1} along DDIM's deterministic path (encoding). */
void ddim_reverse_sample(const struct diffusion *diffusion, int t, int pixels, int channels, const double *x_t,
                         const float *model_output, bool clip_denoised, double *sample, double *pred_xstart);

/* ---- losses and likelihood (losses.c) ---------------------------------------------------------------------------- */

/* One term of the variational bound in bits/dim at timestep t, with squared errors of x_0 and epsilon (calc_bpd_loop).
 */
struct bpd_terms {
    double vb, xstart_mse, mse;
};
void bpd_terms(const struct diffusion *diffusion, int t, int pixels, int channels, const double *x_start,
               const double *x_t, const double *noise, const float *model_output, bool clip_denoised,
               struct bpd_terms *out);
/* KL of q(x_T | x_0) from N(0, 1), bits/dim. */
double prior_bpd(const struct diffusion *diffusion, size_t n, const double *x_start);

/* training_losses of one image: `loss`, and `mse` and `vb` (NAN where the loss type has no such term; vb as the authors
 * report it, after its factor; mse before its weight, so that loss is mse_weights[t] mse + vb). grad_output
 * [pixels][output channels] = grad_scale d(loss)/d(model_output), NULL if not wanted; the mean gets no gradient from
 * the vb term of L_hybrid. */
struct loss_terms {
    double loss, mse, vb;
};
void training_losses(const struct diffusion *diffusion, int t, int pixels, int channels, const double *x_start,
                     const double *x_t, const double *noise, const float *model_output, double grad_scale,
                     struct loss_terms *terms, float *grad_output);

/* ---- timestep samplers (sampler.c) ------------------------------------------------------------------------------- */

enum sampler_kind { SAMPLER_UNIFORM, SAMPLER_LOSS_SECOND_MOMENT };
#define SAMPLER_HISTORY 10 /* losses kept per timestep */
#define SAMPLER_UNIFORM_PROB 0.001
struct sampler {
    enum sampler_kind kind;
    int num_timesteps;
    double *history;              /* [num_timesteps][SAMPLER_HISTORY] */
    int64_t *counts;              /* [num_timesteps] */
    double *weights, *cumulative; /* private: what sampler_refresh makes */
};
enum iddpm_status sampler_create(struct sampler **out, const char *name, int num_timesteps);
void sampler_destroy(struct sampler *sampler);
/* The authors' weights(), not normalised before warm-up (all 1); w[num_timesteps]. */
void sampler_weights(const struct sampler *sampler, double *w);
/* After every change of history (also when it was read from a checkpoint). */
void sampler_refresh(struct sampler *sampler);
/* u in [0, 1) -> timestep and importance weight 1 / (T p_t). */
void sampler_draw(const struct sampler *sampler, double u, int *t, double *weight);
/* n (t, loss) pairs in global slot order; losses unweighted. Calls sampler_refresh. */
void sampler_update(struct sampler *sampler, int n, const int *t, const double *loss);

#endif
