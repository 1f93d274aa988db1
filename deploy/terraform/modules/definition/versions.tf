# No provider: everything here is a value made of values.
terraform {
  required_version = ">= 1.6"
}
