//! Whole files: right ones mean what they say, wrong ones are told all that is wrong with them.
