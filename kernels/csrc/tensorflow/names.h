// The names under which XLA finds the handlers: the lowerings emit them, the handlers register
// them.
#ifndef IKELOS_TENSORFLOW_NAMES_H_
#define IKELOS_TENSORFLOW_NAMES_H_

namespace ikelos {

inline constexpr char kAttentionTarget[] = "ikelos_attention";
inline constexpr char kAttentionGradTarget[] = "ikelos_attention_grad";
inline constexpr char kCachedAttentionTarget[] = "ikelos_cached_attention";
inline constexpr char kDenseTarget[] = "ikelos_dense";
inline constexpr char kGatedDenseTarget[] = "ikelos_gated_dense";
inline constexpr char kGruTarget[] = "ikelos_gru";
inline constexpr char kGruGradTarget[] = "ikelos_gru_grad";
inline constexpr char kLstmTarget[] = "ikelos_lstm";
inline constexpr char kLstmGradTarget[] = "ikelos_lstm_grad";
inline constexpr char kRmsNormTarget[] = "ikelos_rms_norm";
inline constexpr char kRmsNormGradTarget[] = "ikelos_rms_norm_grad";
inline constexpr char kRotaryTarget[] = "ikelos_rotary";
inline constexpr char kSwigluTarget[] = "ikelos_swiglu";
inline constexpr char kSwigluGradTarget[] = "ikelos_swiglu_grad";

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_NAMES_H_
