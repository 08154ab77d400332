//! From samples to latents.

use crate::Result;
use crate::finite::check_tensor;
use crate::mimi::builder::Builder;
use crate::mimi::room::Room;
use crate::mimi::seanet::Seanet;
use crate::mimi::transformer::Transformer;
use crate::ops::{ConvShape, Edge, Operation, Signal};
use crate::state::{Block, State, StateLayout};

/// Convolution stack, transformer, downsampling to the latents' rate.
pub(crate) struct Encoder {
    seanet: Seanet,
    transformer: Transformer,
    downsample: Box<dyn Operation>,
    room: Room,
    frame_size: usize,
    /// What a stream of this encoder remembers.
    pub(crate) layout: StateLayout,
}

impl Encoder {
    pub(crate) fn load(mut builder: Builder<'_>) -> Result<Self> {
        let config = builder.config();
        let seanet = Seanet::load(&mut builder, "encoder", &config.seanet_encoder())?;
        let transformer = Transformer::load(&mut builder, "encoder_transformer")?;
        let shape = ConvShape {
            c_in: config.hidden_size,
            c_out: config.hidden_size,
            kernel: config.latent_kernel(),
            stride: config.latent_stride(),
            dilation: 1,
            edge: Edge::Replicate,
            rows_per_frame: 1,
            activation: None,
        };
        let downsample = builder.conv("downsample", shape, false)?;
        let (room, frame_size) = (Room::new(config), config.frame_size());
        Ok(Self { seanet, transformer, downsample, room, frame_size, layout: builder.layout })
    }

    /// `(rows, samples, 1)` to `(rows, ceil(samples / frame_size), hidden_size)`.
    ///
    /// The samples are whole frames, unless the rows' clips `end` here.
    pub(crate) fn forward(&self, pcm: Signal, state: &mut State, rows: &[usize], end: bool) -> Result<Signal> {
        self.room.check(rows.len(), pcm.dim(1)?.div_ceil(self.frame_size))?;
        let block = Block { state, rows, end };
        let x = self.seanet.forward(pcm, &block)?;
        let steps = x.dim(1)?;
        let x = self.transformer.forward(x, &block)?;
        let latents = self.downsample.forward(&x, None, &block)?;
        check_tensor(&latents, "latents")?;
        state.advance(rows, steps);
        Ok(latents)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.seanet.bytes() + self.transformer.bytes() + self.downsample.bytes()
    }
}
