//! From latents to samples.

use candle_core::Tensor;

use crate::Result;
use crate::finite::check_tensor;
use crate::mimi::builder::Builder;
use crate::mimi::room::Room;
use crate::mimi::seanet::Seanet;
use crate::mimi::transformer::Transformer;
use crate::ops::{ConvTransposeShape, Operation, Signal};
use crate::state::{Block, State, StateLayout};

/// Upsampling to the transformer's rate, transformer, convolution stack.
pub(crate) struct Decoder {
    upsample: Box<dyn Operation>,
    transformer: Transformer,
    seanet: Seanet,
    room: Room,
    /// What a stream of this decoder remembers.
    pub(crate) layout: StateLayout,
}

impl Decoder {
    pub(crate) fn load(mut builder: Builder<'_>) -> Result<Self> {
        let config = builder.config();
        let shape = ConvTransposeShape {
            c_in: config.hidden_size,
            c_out: config.hidden_size,
            stride: config.latent_stride(),
            groups: config.upsample_groups,
            rows_per_frame: 1,
            activation: None,
        };
        let upsample = builder.conv_transpose("upsample", shape, false)?;
        let transformer = Transformer::load(&mut builder, "decoder_transformer")?;
        let seanet = Seanet::load(&mut builder, "decoder", &config.seanet_decoder())?;
        Ok(Self { upsample, transformer, seanet, room: Room::new(config), layout: builder.layout })
    }

    /// `(rows, frames, hidden_size)` to `(rows, frames * frame_size, 1)`.
    pub(crate) fn forward(&self, latents: &Tensor, state: &mut State, rows: &[usize]) -> Result<Signal> {
        self.room.check(rows.len(), latents.dim(1)?)?;
        let block = Block { state, rows, end: false };
        let x = self.upsample.forward(latents, None, &block)?;
        let steps = x.dim(1)?;
        let x = self.transformer.forward(x, &block)?;
        let pcm = self.seanet.forward(x, &block)?;
        check_tensor(&pcm, "samples")?;
        state.advance(rows, steps);
        Ok(pcm)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.upsample.bytes() + self.transformer.bytes() + self.seanet.bytes()
    }
}
