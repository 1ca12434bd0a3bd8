//! ARM through azure_core's pipeline.
