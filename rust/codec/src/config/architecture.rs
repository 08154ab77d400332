//! The two convolution stacks (SEANet) as lists of layers: the tensor list and the model are both built from them.

use super::MimiConfig;

/// One layer of the encoder's or decoder's convolution stack.
///
/// `index` is the layer's number N in Transformers' `encoder.layers.N` or `decoder.layers.N`; an ELU takes a number too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeanetLayer {
    /// Causal convolution with bias.
    Conv {
        /// Number in the stack.
        index: usize,
        /// Input channels.
        c_in: usize,
        /// Output channels.
        c_out: usize,
        /// Kernel, in input samples.
        kernel: usize,
        /// Stride, in input samples.
        stride: usize,
    },
    /// Causal transposed convolution with bias, its surplus cut at the end.
    ConvTranspose {
        /// Number in the stack.
        index: usize,
        /// Input channels.
        c_in: usize,
        /// Output channels.
        c_out: usize,
        /// Kernel, in output samples.
        kernel: usize,
        /// Stride, in output samples.
        stride: usize,
    },
    /// `shortcut(x) + conv1x1(elu(conv(elu(x))))`, both convolutions with bias.
    Residual {
        /// Number in the stack.
        index: usize,
        /// Channels of input and output.
        channels: usize,
        /// Channels between the two convolutions.
        hidden: usize,
        /// Kernel of the first convolution.
        kernel: usize,
        /// Dilation of the first convolution.
        dilation: usize,
        /// Whether the shortcut is a 1x1 convolution with bias, not the identity.
        shortcut: bool,
    },
    /// Exponential linear unit.
    Elu,
}

impl MimiConfig {
    /// Channels after `stage` of the encoder's ratios (and before as many of the decoder's last ones).
    pub fn channels_at(&self, stage: usize) -> usize {
        self.num_filters.saturating_mul(2_usize.saturating_pow(exponent(stage)))
    }

    /// The encoder's convolution stack, from samples to the transformer's rate.
    pub fn seanet_encoder(&self) -> Vec<SeanetLayer> {
        let stages = self.upsampling_ratios.len();
        let mut stack = Stack::default();
        stack.conv(self.audio_channels, self.num_filters, self.kernel_size, 1);
        for (stage, &ratio) in self.upsampling_ratios.iter().rev().enumerate() {
            let channels = self.channels_at(stage);
            stack.residuals(self, channels);
            stack.elu();
            stack.conv(channels, self.channels_at(stage + 1), 2 * ratio, ratio);
        }
        stack.elu();
        stack.conv(self.channels_at(stages), self.hidden_size, self.last_kernel_size, 1);
        stack.0
    }

    /// The decoder's convolution stack, from the transformer's rate to samples.
    pub fn seanet_decoder(&self) -> Vec<SeanetLayer> {
        let stages = self.upsampling_ratios.len();
        let mut stack = Stack::default();
        stack.conv(self.hidden_size, self.channels_at(stages), self.kernel_size, 1);
        for (stage, &ratio) in (0..stages).rev().zip(&self.upsampling_ratios) {
            let channels = self.channels_at(stage);
            stack.elu();
            stack.conv_transpose(self.channels_at(stage + 1), channels, 2 * ratio, ratio);
            stack.residuals(self, channels);
        }
        stack.elu();
        stack.conv(self.num_filters, self.audio_channels, self.last_kernel_size, 1);
        stack.0
    }
}

/// A stack under construction; a layer's index is its place.
#[derive(Default)]
struct Stack(Vec<SeanetLayer>);

impl Stack {
    fn conv(&mut self, c_in: usize, c_out: usize, kernel: usize, stride: usize) {
        let index = self.0.len();
        self.0.push(SeanetLayer::Conv { index, c_in, c_out, kernel, stride });
    }

    fn conv_transpose(&mut self, c_in: usize, c_out: usize, kernel: usize, stride: usize) {
        let index = self.0.len();
        self.0.push(SeanetLayer::ConvTranspose { index, c_in, c_out, kernel, stride });
    }

    fn elu(&mut self) {
        self.0.push(SeanetLayer::Elu);
    }

    /// The residual blocks of one stage, their dilation growing.
    fn residuals(&mut self, config: &MimiConfig, channels: usize) {
        for block in 0..config.num_residual_layers {
            self.0.push(SeanetLayer::Residual {
                index: self.0.len(),
                channels,
                hidden: channels / config.compress.max(1),
                kernel: config.residual_kernel_size,
                dilation: config.dilation_growth_rate.saturating_pow(exponent(block)),
                shortcut: config.use_conv_shortcut,
            });
        }
    }
}

fn exponent(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_stacks_have_the_released_indices() {
        let config = MimiConfig::default();
        let (encoder, decoder) = (config.seanet_encoder(), config.seanet_decoder());
        assert_eq!((encoder.len(), decoder.len()), (15, 15));
        assert_eq!(encoder[0], SeanetLayer::Conv { index: 0, c_in: 1, c_out: 64, kernel: 7, stride: 1 });
        assert_eq!(encoder[12], SeanetLayer::Conv { index: 12, c_in: 512, c_out: 1024, kernel: 16, stride: 8 });
        assert_eq!(encoder[13], SeanetLayer::Elu);
        let residual = |index, channels: usize| SeanetLayer::Residual {
            index,
            channels,
            hidden: channels / 2,
            kernel: 3,
            dilation: 1,
            shortcut: false,
        };
        assert_eq!(encoder[10], residual(10, 512));
        assert_eq!(decoder[2], SeanetLayer::ConvTranspose { index: 2, c_in: 1024, c_out: 512, kernel: 16, stride: 8 });
        assert_eq!(decoder[12], residual(12, 64));
        assert_eq!(decoder[14], SeanetLayer::Conv { index: 14, c_in: 64, c_out: 1, kernel: 3, stride: 1 });
    }

    #[test]
    fn dilation_grows_within_a_stage() {
        let config = MimiConfig { num_residual_layers: 3, dilation_growth_rate: 3, ..Default::default() };
        let dilations: Vec<_> = config
            .seanet_encoder()
            .iter()
            .filter_map(|layer| match layer {
                SeanetLayer::Residual { dilation, .. } => Some(*dilation),
                _ => None,
            })
            .take(4)
            .collect();
        assert_eq!(dilations, [1, 3, 9, 1]);
    }
}
