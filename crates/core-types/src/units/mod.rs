//! Units as types: no bare number crosses a crate's face.

mod amount;
mod quantity;
mod ratio;
mod scalar;

pub use amount::{AmountOrShare, AmountOrShareError};
pub use quantity::QuantityError;
pub use ratio::{Ratio, RatioError};
pub use scalar::{Bytes, Millicores, Slots, UnitKind};
