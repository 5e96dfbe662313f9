//! The PROXY protocol header (HAProxy's specification, versions 1 and 2).
