"""From captured usage to examples and cases, and a person's word on them."""
